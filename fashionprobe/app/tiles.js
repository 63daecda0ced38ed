// A grid of pictures. A click on a picture chooses it, or takes it back; the button below it asks for more like it.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-id]");
  if (!button) return;
  trigger(button.dataset.does === "chosen" ? "chosen" : "picked", { id: button.dataset.id });
});
