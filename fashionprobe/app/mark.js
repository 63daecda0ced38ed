// The drawing surface of the tab Mark. Gradio calls this with element, server, watch and props.
// A stroke is kept in this browser the moment it ends, and until the server has said that it is on its disk.
const part = (name) => element.querySelector(`[data-is="${name}"]`);
const INK = "rgb(214, 39, 140)", KEPT_LOOKS = 24, RETRY = 2500, ORPHANED = 15000;
const sheet = part("sheet"), canvas = part("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true }), note = part("note");
const own = sessionStorage.fashionprobe || (sessionStorage.fashionprobe = Math.random().toString(36).slice(2));

let list = [], marked = new Set(), method = "", target = "", shelf = "", place = 0;
let now = null, ground = null, strokes = [], undone = [], erasing = false, drawing = null, ticket = 0;
const looks = new Map(), pending = new Map(), versions = new Map();
const clashed = new Map(); // of an item: my version beside the one that counts, which my next one replaces
let sending = false, timer = null, noteTimer = null;

const say = (words, bad = false) => {
  part("status").textContent = words;
  part("status").classList.toggle("fp-bad", bad);
};
const time = (stamp) => (stamp ? new Date(stamp).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "");

// ---- What is kept in this browser until the server has it ----
const persist = () => {
  const key = `${shelf}/${own}`;
  try {
    if (pending.size) localStorage.setItem(key, JSON.stringify({ at: Date.now(), drafts: [...pending] }));
    else localStorage.removeItem(key);
  } catch (error) {
    say("This browser keeps nothing for later: wait for \"Saved\" before you close the page.", true);
  }
};
const adopt = () => {
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(`${shelf}/`)) continue;
    const left = JSON.parse(localStorage.getItem(key));
    if (key !== `${shelf}/${own}` && Date.now() - left.at < ORPHANED) continue; // another page is at work on it
    for (const [item, draft] of left.drafts) if (!pending.has(item)) pending.set(item, draft);
    if (key !== `${shelf}/${own}`) localStorage.removeItem(key);
  }
  persist();
  send();
};

// ---- Saving: one after another, each on the version that the one before made ----
const keep = (settles = []) => {
  if (!now) return;
  const before = pending.get(now.item);
  pending.set(now.item, {
    mask: isEmpty() ? "" : canvas.toDataURL("image/png"), note: note.value,
    base: before ? before.base : (versions.get(now.item) ?? ""),
    settles: [...(before ? before.settles : []), ...settles, ...(clashed.has(now.item) ? [clashed.get(now.item)] : [])],
  });
  persist();
  say("Saving …");
  clearTimeout(timer);
  timer = setTimeout(send, 150);
};
const send = async () => {
  if (sending || !pending.size) return;
  sending = true;
  const [item, draft] = pending.entries().next().value;
  try {
    const reply = await server.save({ item, ...draft });
    if (!reply || (reply.error && reply.again)) throw new Error(reply ? reply.error : "no answer");
    if (reply.error) {
      pending.delete(item);
      say(reply.error, true);
    } else {
      const later = pending.get(item);
      if (later === draft) pending.delete(item);
      // On a clash the strokes since then are of the second version, so they stay on its base.
      else if (reply.clash) later.settles.push(reply.mine);
      else later.base = reply.version;
      clashed[reply.clash ? "set" : "delete"](item, reply.mine);
      if (!reply.clash || later === draft) versions.set(item, reply.clash ? draft.base : reply.version);
      marked[reply.mask ? "add" : "delete"](item);
      looks.clear();
      if (now && now.item === item) {
        if (!reply.clash) now.version = reply.version;
        settle(reply.others, reply);
        say(reply.clash ? "Kept beside another version." : reply.mask ? `Saved ${time(reply.time)}` : "Saved: no mask");
      }
    }
    persist();
    progress();
    sending = false;
    send();
  } catch (error) {
    sending = false;
    say("Not saved yet: the server does not answer. The mask is kept in this browser, and sent again.", true);
    persist();
    clearTimeout(timer);
    timer = setTimeout(send, RETRY);
  }
};

// ---- Drawing ----
const isEmpty = () => {
  if (!ground && !strokes.some((each) => each.kind === "brush")) return true;
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let at = 3; at < pixels.length; at += 4) if (pixels[at] >= 128) return false;
  return true;
};
const width = () => (Math.min(canvas.width, canvas.height) * part("size").value) / 100;
const segment = (stroke, from) => {
  pen.globalCompositeOperation = stroke.kind === "eraser" ? "destination-out" : "source-over";
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = INK;
  pen.lineWidth = stroke.width;
  pen.beginPath();
  const points = stroke.points, start = Math.max(from - 1, 0);
  pen.moveTo(...points[start]);
  for (let at = start; at < points.length; at++) pen.lineTo(...points[at]);
  pen.stroke();
};
const redraw = () => {
  pen.globalCompositeOperation = "source-over";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (ground) pen.drawImage(ground, 0, 0, canvas.width, canvas.height);
  for (const stroke of strokes) {
    if (stroke.kind === "clear") pen.clearRect(0, 0, canvas.width, canvas.height);
    else if (stroke.kind === "image") pen.drawImage(stroke.image, 0, 0, canvas.width, canvas.height);
    else segment(stroke, 0);
  }
  buttons();
};
const buttons = () => {
  element.querySelector('[data-do="undo"]').disabled = !strokes.length;
  element.querySelector('[data-do="redo"]').disabled = !undone.length;
  element.querySelector('[data-do="brush"]').setAttribute("aria-pressed", String(!erasing));
  element.querySelector('[data-do="eraser"]').setAttribute("aria-pressed", String(erasing));
};
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
};
const finish = () => {
  if (!drawing) return;
  strokes.push(drawing);
  drawing = null;
  undone = [];
  buttons();
  keep();
};
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !now) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  drawing = { kind: erasing ? "eraser" : "brush", width: width(), points: [at(event)] };
  segment(drawing, 0);
});
canvas.addEventListener("pointermove", (event) => {
  tip(event);
  if (!drawing) return;
  const from = drawing.points.length;
  const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const each of events.length ? events : [event]) drawing.points.push(at(each));
  segment(drawing, from);
});
for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, finish);
const tip = (event) => {
  const box = canvas.getBoundingClientRect(), side = (width() * box.width) / canvas.width, mark = part("tip");
  mark.style.cssText = `display:block;width:${side}px;height:${side}px;left:${event.clientX - box.left}px;top:${event.clientY - box.top}px`;
};
canvas.addEventListener("pointerleave", () => (part("tip").style.display = "none"));

// ---- Images ----
const load = (uri) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = failed;
  image.src = uri;
});
const look = (item) => {
  const key = `${item}|${method}|${target}`;
  if (!looks.has(key)) {
    if (looks.size >= KEPT_LOOKS) looks.delete(looks.keys().next().value);
    const found = server.look({ item, method, target }).then((reply) => {
      if (reply.error) looks.delete(key);
      return reply;
    });
    found.catch(() => looks.delete(key));
    looks.set(key, found);
  }
  return looks.get(key);
};
const ahead = () => {
  for (const step of [1, -1, 2]) if (list[place + step] !== undefined) look(list[place + step]).catch(() => {});
};
const show = async (to) => {
  finish();
  if (noteTimer) (clearTimeout(noteTimer), (noteTimer = null), keep());
  place = Math.max(0, Math.min(to, list.length - 1));
  progress();
  part("empty").hidden = list.length > 0;
  sheet.hidden = !list.length;
  if (!list.length) return (now = null);
  const mine = ++ticket, item = list[place];
  sessionStorage.setItem(`${shelf}/item`, item);
  const busy = setTimeout(() => part("stage").classList.add("fp-busy"), 250);
  try {
    const seen = await look(item);
    if (seen.error) throw new Error(seen.error);
    const picture = await load(seen.picture), heat = seen.heat ? await load(seen.heat) : null;
    // Not as it was when it was fetched ahead: somebody may have marked it since.
    const stored = pending.get(item) || (await server.kept({ item }));
    const mask = stored.mask ? await load(stored.mask) : null;
    if (mine !== ticket) return;
    now = { ...seen, version: stored.version };
    if (!pending.has(item)) (versions.set(item, stored.version), clashed.delete(item));
    part("picture").src = picture.src;
    part("heat").src = heat ? heat.src : "data:,";
    part("heat").hidden = !heat;
    fade();
    sheet.style.aspectRatio = `${seen.width} / ${seen.height}`;
    sheet.style.setProperty("--ratio", seen.width / seen.height);
    canvas.width = seen.width;
    canvas.height = seen.height;
    [ground, strokes, undone] = [mask, [], []];
    note.value = stored.note || "";
    redraw();
    facts(seen);
    settle(stored.others || [], stored);
    say(pending.has(item) ? "Saving …" : stored.version && stored.time ? `Saved ${time(stored.time)}${stored.author ? ` by ${stored.author}` : ""}` : "");
    element.dataset.item = item;
    element.dataset.ready = String(Number(element.dataset.ready || 0) + 1);
    ahead();
  } catch (error) {
    if (mine === ticket) say(String(error.message || error), true);
  } finally {
    clearTimeout(busy);
    if (mine === ticket) part("stage").classList.remove("fp-busy");
  }
};
// Another method or class: the picture and what is being drawn stay.
const reheat = async () => {
  if (!now) return;
  const mine = ++ticket;
  part("stage").classList.add("fp-busy");
  const seen = await look(now.item).catch((error) => ({ error: String(error.message || error) }));
  if (mine !== ticket) return;
  part("stage").classList.remove("fp-busy");
  if (seen.error) return say(seen.error, true);
  part("heat").src = seen.heat || "data:,";
  part("heat").hidden = !seen.heat;
  fade();
  facts(seen);
  element.dataset.ready = String(Number(element.dataset.ready || 0) + 1);
  ahead();
};
const facts = (seen) => {
  const box = part("facts");
  box.replaceChildren();
  const add = (words, kind) => {
    const span = document.createElement("span");
    span.textContent = words;
    if (kind) span.className = kind;
    box.append(span);
  };
  add(seen.true, "fp-chip");
  add(seen.right ? `seen so, ${Math.round(100 * seen.sure)} %` : `seen as ${seen.guess}, ${Math.round(100 * seen.sure)} %`, seen.right ? "fp-good" : "fp-wrong");
  if (seen.heat) add(`heatmap for ${seen.about}`, "fp-soft");
  add(seen.id, "fp-soft fp-id");
};
const progress = () => {
  const have = list.filter((item) => marked.has(item)).length;
  part("place").textContent = list.length ? `${place + 1} of ${list.length}` : "0 of 0";
  part("count").textContent = `${have} of ${list.length} marked`;
  part("done").style.width = `${list.length ? (100 * have) / list.length : 0}%`;
  element.querySelector('[data-do="previous"]').disabled = place <= 0;
  element.querySelector('[data-do="next"]').disabled = place >= list.length - 1;
};

// ---- Two versions of one image ----
let second = null, first = null;
const settle = (others, counts) => {
  second = others.length ? others[0] : null;
  first = counts;
  part("clash").hidden = !second;
  if (second) {
    const by = (each) => `${each.author || "somebody"}, ${time(each.time)}`;
    part("clashwords").textContent =
      `Two people marked this image at the same time; both masks are kept. The one that counts is by ${by(counts)}; the second is by ${by(second)}. Which one should count?`;
  }
};
const choose = async (kind) => {
  if (!second || !now) return;
  const taken = second.version, counts = first;
  const images = await Promise.all([kind !== "mine" && counts.mask ? load(counts.mask) : null, kind !== "theirs" && second.mask ? load(second.mask) : null]);
  if (kind !== "both") note.value = (kind === "mine" ? second : counts).note;
  strokes.push({ kind: "clear" });
  for (const image of images) if (image) strokes.push({ kind: "image", image });
  undone = [];
  redraw();
  versions.set(now.item, counts.version);
  pending.delete(now.item);
  clashed.delete(now.item);
  keep([taken]);
};

// ---- Hands ----
const actions = {
  previous: () => show(place - 1),
  next: () => show(place + 1),
  brush: () => ((erasing = false), buttons()),
  eraser: () => ((erasing = true), buttons()),
  undo: () => strokes.length && (undone.push(strokes.pop()), redraw(), keep()),
  redo: () => undone.length && (strokes.push(undone.pop()), redraw(), keep()),
  clear: () => now && (strokes.push({ kind: "clear" }), (undone = []), redraw(), keep()),
  both: () => choose("both"),
  mine: () => choose("mine"),
  theirs: () => choose("theirs"),
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button && !button.disabled) actions[button.dataset.do]();
});
document.addEventListener("keydown", (event) => {
  if (!element.isConnected || !element.offsetParent || event.altKey) return; // another tab is shown
  const typing = event.target.closest && event.target.closest('input, textarea, select, [contenteditable="true"], [role="slider"], [role="listbox"], [role="radiogroup"]');
  if (typing) return;
  const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
  const does = control
    ? { z: event.shiftKey ? "redo" : "undo", y: "redo" }[key]
    : { arrowleft: "previous", arrowright: "next", b: "brush", e: "eraser" }[key];
  if (!does) return;
  event.preventDefault();
  actions[does]();
});
// Below a heatmap the picture loses its colours, so that every colour stands for relevance.
const fade = () => {
  const share = part("opacity").value / 100;
  part("heat").style.opacity = share;
  sheet.style.setProperty("--fp-grey", part("heat").hidden ? 0 : Math.min(1, 2 * share));
};
part("opacity").addEventListener("input", fade);
note.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === "Escape") canvas.focus({ preventScroll: true }); // so that arrow keys turn again
});
note.addEventListener("input", () => {
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => ((noteTimer = null), keep()), 400);
});
const leave = () => {
  finish();
  if (noteTimer) (clearTimeout(noteTimer), (noteTimer = null), keep());
};
window.addEventListener("pagehide", leave);
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && leave());

// ---- What the filters beside it say ----
const take = () => {
  const told = props.value;
  if (!told) return;
  const fresh = shelf !== told.shelf, same = JSON.stringify(list) === JSON.stringify(told.items);
  [shelf, marked] = [told.shelf, new Set(told.marked)];
  const changed = method !== told.method || target !== told.target;
  [method, target] = [told.method, told.target];
  part("told").textContent = told.told;
  if (fresh) adopt();
  if (!fresh && same) return changed ? reheat() : progress();
  const at = now ? now.item : Number(sessionStorage.getItem(`${shelf}/item`) ?? -1);
  list = told.items;
  show(Math.max(0, list.indexOf(at)));
};
watch("value", take);
take();
