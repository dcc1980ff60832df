"use strict";
// Shows the images of a reader study one at a time and keeps the answers in this browser until they are saved.
(function () {
  const part = (id) => document.getElementById(id);
  const study = JSON.parse(part("study").textContent);
  const QUESTIONS = {
    rating: "How well can you read the anatomical structures in this image?",
    choice: "Which image would you prefer to read?",
  };
  const WORDS = { 1: "unusable", 2: "poor", 3: "fair", 4: "good", 5: "excellent", A: "Image A", B: "Image B" };
  const KEYS = { choice: { 1: "A", a: "A", ArrowLeft: "A", 2: "B", b: "B", ArrowRight: "B" }, rating: {} };
  for (const answer of study.answers.rating) KEYS.rating[answer] = answer;
  const COLUMNS = ["study", "reader", "item", "question", "answer", "seconds"];

  let reader = "";
  let answers = {};
  let place = 0;
  let shownAt = 0;

  const shelf = (name) => ["reader-study", study.study, name].join("/");

  function remembered(name) {
    try {
      return localStorage.getItem(shelf(name));
    } catch {
      return null;
    }
  }

  function remember(name, text) {
    try {
      localStorage.setItem(shelf(name), text);
    } catch {
      part("notice").textContent = "This browser cannot store your answers: save them before you close the page.";
    }
  }

  function only(name) {
    for (const one of ["start", "task", "end"]) part(one).hidden = one !== name;
  }

  function begin(name) {
    reader = name;
    answers = JSON.parse(remembered("answers/" + reader) || "{}");
    remember("reader", reader);
    part("who").textContent = "Reader " + reader;
    const open = study.items.findIndex((item) => !(item.item in answers));
    show(open < 0 ? study.items.length : open);
  }

  function figure(code, index, count) {
    const picture = study.pictures[code];
    const box = document.createElement("figure");
    const image = document.createElement("img");
    image.src = picture.uri;
    image.style.aspectRatio = picture.aspect;
    box.style.setProperty("--aspect", picture.aspect);
    box.append(image);
    image.alt = "Image to be rated";
    if (count > 1) {
      const name = WORDS[study.answers.choice[index]];
      const caption = document.createElement("figcaption");
      caption.textContent = name;
      image.alt = name;
      box.append(caption);
    }
    return box;
  }

  function button(question, answer, index) {
    const made = document.createElement("button");
    const key = document.createElement("kbd");
    key.textContent = String(index + 1);
    made.type = "button";
    made.append(key, " " + WORDS[answer]);
    made.setAttribute("aria-pressed", String((answers[study.items[place].item] || {}).answer === answer));
    made.addEventListener("click", () => give(answer));
    return made;
  }

  function show(index) {
    place = index;
    if (place >= study.items.length) return finish();
    const item = study.items[place];
    only("task");
    part("task-title").textContent = "Question " + (place + 1) + " of " + study.items.length;
    part("done").value = place / study.items.length;
    part("question").textContent = QUESTIONS[item.question];
    part("images").replaceChildren(...item.pictures.map((code, at) => figure(code, at, item.pictures.length)));
    part("answers").replaceChildren(...study.answers[item.question].map((answer, at) => button(item.question, answer, at)));
    part("back").disabled = place === 0;
    part("task-title").focus({ preventScroll: true });
    shownAt = performance.now();
  }

  function give(answer) {
    const seconds = ((performance.now() - shownAt) / 1000).toFixed(2);
    answers[study.items[place].item] = { answer: answer, seconds: seconds };
    remember("answers/" + reader, JSON.stringify(answers));
    show(place + 1);
  }

  function finish() {
    only("end");
    part("text").value = table();
    part("end-title").focus({ preventScroll: true });
  }

  function table() {
    const given = study.items.filter((item) => item.item in answers);
    const rows = given.map(function (item) {
      const one = answers[item.item];
      return [study.study, reader, item.item, item.question, one.answer, one.seconds].join(",");
    });
    return [COLUMNS.join(","), ...rows, ""].join("\n");
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = "answers-" + study.study + "-" + reader + ".csv";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    const count = Object.keys(answers).length;
    part("notice").textContent = count + " of " + study.items.length + " answers saved as " + link.download + ".";
  }

  function another() {
    part("who").textContent = part("notice").textContent = part("reader").value = "";
    only("start");
    part("reader").focus();
  }

  part("who-form").addEventListener("submit", function (event) {
    event.preventDefault();
    begin(part("reader").value);
  });
  part("back").addEventListener("click", () => show(place - 1));
  part("change").addEventListener("click", () => show(study.items.length - 1));
  part("another").addEventListener("click", another);
  for (const one of document.querySelectorAll(".save")) one.addEventListener("click", save);
  document.addEventListener("keydown", function (event) {
    if (part("task").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const answer = KEYS[study.items[place].question][key];
    if (answer) {
      event.preventDefault();
      give(answer);
    } else if (key === "Backspace" && place > 0) {
      event.preventDefault();
      show(place - 1);
    }
  });
  part("reader").value = remembered("reader") || "";
})();
