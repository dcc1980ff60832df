"use strict";
// Buttons that copy the text of another element.
(function () {
  function select(text) {
    if (text.closest("details")) text.closest("details").open = true;
    const range = document.createRange();
    range.selectNodeContents(text);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text.textContent);
      return true;
    } catch (refused) {
      select(text); // At least it can be copied with the keyboard.
      return document.execCommand("copy");
    }
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    const name = button.getAttribute("aria-label");
    button.hidden = false;
    button.addEventListener("click", async function () {
      const done = await copy(document.getElementById(button.dataset.copy));
      button.textContent = done ? "Copied" : "Selected; copy it with the keyboard";
      button.setAttribute("aria-label", button.textContent);
      window.setTimeout(function () {
        button.textContent = label;
        button.setAttribute("aria-label", name);
      }, 2500);
    });
  }
})();
