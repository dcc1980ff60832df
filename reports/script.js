"use strict";
// The slider that compares two methods. Its pictures are those of the page: nothing is stored twice.
(function () {
  const box = document.getElementById("compare");
  if (!box) return;
  const part = (name) => document.getElementById("compare-" + name);
  const stage = part("stage");
  const position = part("position");

  function show(image, choice) {
    const source = document.getElementById("picture-" + part("slice").value + "-" + choice.value);
    image.src = source.src;
    image.alt = source.alt;
    image.classList.toggle("pixels", choice.value === "low");
  }

  function name(label, choice) {
    label.textContent = choice.options[choice.selectedIndex].text;
  }

  function draw() {
    show(part("over"), part("left"));
    show(part("under"), part("right"));
    name(part("left-name"), part("left"));
    name(part("right-name"), part("right"));
  }

  function move(percent) {
    const share = Math.min(100, Math.max(0, percent));
    position.value = String(share);
    stage.style.setProperty("--split", share + "%");
  }

  function follow(event) {
    const edges = stage.getBoundingClientRect();
    move((100 * (event.clientX - edges.left)) / edges.width);
  }

  stage.addEventListener("pointerdown", function (event) {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    follow(event);
    position.focus({ preventScroll: true });
    event.preventDefault();
  });
  stage.addEventListener("pointermove", function (event) {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  position.addEventListener("input", () => move(Number(position.value)));
  for (const choice of ["left", "right", "slice"]) part(choice).addEventListener("change", draw);

  draw();
  move(50);
  box.hidden = false;
})();
