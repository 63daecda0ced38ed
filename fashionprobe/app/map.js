// A map or a wall: a click on a point or a cell, or Enter on it, picks its image.
const pick = (event) => {
  const point = event.target.closest("[data-id]");
  if (!point) return;
  element.querySelectorAll(".fp-picked").forEach((each) => each.classList.remove("fp-picked"));
  point.classList.add("fp-picked");
  trigger("picked", { id: point.dataset.id });
};
element.addEventListener("click", pick);
element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") (event.preventDefault(), pick(event));
});
