// The viewer: volumes of 256 grey levels, decoded from the sheets of slices in the page and drawn on canvases with a
// common position, zoom and window. Axes are those of the arrays: x to the right of the head, y to its front, z to its
// top; a displayed slice runs from right to left and from bottom to top, in the radiological convention.
(function () {
  const box = document.getElementById("viewer");
  if (!box) return;
  const LEVELS = 255, MAX_ZOOM = 16, ZOOM_STEP = 1.25, TEN = 10;
  const CLICK_PIXELS = 4, GRIP_PIXELS = 22, MIN_HEIGHT = 90;
  const SHARP_FROM = 4; // Device pixels per voxel above which voxels are drawn without smoothing.

  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const part = (name) => document.getElementById("viewer-" + name);
  const panes = part("panes");
  const split = document.getElementById("compare-position");
  const layers = new Map(data.layers.map((layer) => [layer.name, layer]));
  const named = (role) => data.layers.filter((layer) => layer.role === role).map((layer) => layer.name);
  const [input] = named("input");
  const [reference] = named("reference");

  const others = (axis) => [0, 1, 2].filter((other) => other !== axis); // Column axis, row axis.
  const size = [0, 0, 0];
  size[data.axis] = data.shape[0];
  size[others(data.axis)[1]] = data.shape[1];
  size[others(data.axis)[0]] = data.shape[2];
  const stride = [1, size[0], size[0] * size[1]];

  const state = {
    view: "panels", plane: 0, first: data.first, second: data.second, split: 50,
    at: size.map((length, axis) => (axis === data.axis && !data.planes[0].edges.length && data.planes.length === 1 ? 0 : length >> 1)),
    zoom: 1, middle: size.map(() => [0.5, 0.5]), level: data.white / 2, width: data.white, hover: null,
  };
  const black = () => state.level - state.width / 2;
  const white = () => state.level + state.width / 2;

  // Decoding

  const volumes = new Map();

  // Returns one volume per colour, or a single grey one. A colour picture is stored as three consecutive tiles.
  async function decode(layer) {
    const [, rows, columns] = data.shape;
    const [c, r] = others(data.axis);
    const found = Array.from({ length: data.colours }, () => new Uint8Array(size[0] * size[1] * size[2]));
    const perSheet = data.across * data.down;
    for (let sheet = 0; sheet < layer.sheets.length; sheet++) {
      const image = new Image();
      image.src = layer.sheets[sheet];
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
      const last = Math.min(perSheet, data.shape[0] * data.colours - sheet * perSheet);
      for (let tile = 0; tile < last; tile++) {
        const left = (tile % data.across) * columns;
        const top = Math.floor(tile / data.across) * rows;
        const place = sheet * perSheet + tile;
        const volume = found[place % data.colours];
        const start = Math.floor(place / data.colours) * stride[data.axis];
        for (let row = 0; row < rows; row++) {
          let from = ((top + row) * canvas.width + left) * 4;
          let to = start + (rows - 1 - row) * stride[r] + (columns - 1) * stride[c];
          for (let column = 0; column < columns; column++, from += 4, to -= stride[c]) volume[to] = pixels[from];
        }
      }
    }
    return found;
  }

  // Returns the volumes of a layer, one per colour; null until they are decoded, after which everything is redrawn.
  function volumeOf(name) {
    if (!volumes.has(name)) {
      volumes.set(name, null);
      decode(layers.get(name)).then((found) => {
        volumes.set(name, found);
        schedule();
      });
    }
    return volumes.get(name);
  }

  // Colours

  function greyTable() {
    const table = new Uint8ClampedArray(3 * (LEVELS + 1));
    for (let level = 0; level <= LEVELS; level++) {
      table.fill((LEVELS * (level - black())) / state.width, 3 * level, 3 * level + 3);
    }
    return table;
  }

  // The detail ledger: relative to the interpolated input, the reference shows the detail to be restored and a method the
  // detail that it added. If both have the same sign, the smaller one is right; the rest is missing or invented
  // (pipeline/metrics/evaluation/detail_ledger.py).
  const DETAIL = [["right", [190, 196, 204]], ["missing", [40, 130, 255]], ["invented", [255, 96, 24]]];

  function detail(base, value, reference) {
    const wanted = reference - base, added = value - base;
    const right = wanted * added > 0 ? Math.min(Math.abs(wanted), Math.abs(added)) : 0;
    return [right, Math.abs(wanted) - right, Math.abs(added) - right];
  }

  // Mean over the colours; the value itself for a grey volume.
  function mean(of) {
    let sum = 0;
    for (let colour = 0; colour < data.colours; colour++) sum += of(colour);
    return sum / data.colours;
  }

  function detailAt(base, own, reference, at) {
    if (data.colours === 1) return detail(base[0][at], own[0][at], reference[0][at]);
    const each = base.map((_, colour) => detail(base[colour][at], own[colour][at], reference[colour][at]));
    return [0, 1, 2].map((kind) => mean((colour) => each[colour][kind]));
  }

  // Drawing

  // Returns a function that writes the RGB colour of a voxel to `to`; null until all volumes are decoded.
  function paintOf(item) {
    const names = item.kind === "ledger" ? [item.name, reference, data.base] : item.kind === "error" ? [item.name, reference] : [item.name];
    const [own, target, base] = names.map(volumeOf);
    if (names.some((name) => !volumeOf(name))) return null;
    if (item.kind === "ledger") {
      return function (at, pixels, to) {
        const amounts = detailAt(base, own, target, at);
        for (let channel = 0; channel < 3; channel++) {
          let sum = 0;
          for (let kind = 0; kind < 3; kind++) sum += amounts[kind] * DETAIL[kind][1][channel];
          pixels[to + channel] = sum / data.error_top;
        }
      };
    }
    const map = layers.get(item.name).colours;
    if (item.kind !== "error" && !map) {
      const grey = greyTable();
      return function (at, pixels, to) {
        for (let channel = 0; channel < 3; channel++) pixels[to + channel] = grey[3 * own[channel % own.length][at]];
      };
    }
    const table = item.kind === "error" ? data.inferno : map;
    const level = item.kind === "error"
      ? (at) => Math.min(LEVELS, Math.round((LEVELS * mean((colour) => Math.abs(own[colour][at] - target[colour][at]))) / data.error_top))
      : (at) => Math.round(mean((colour) => own[colour][at]));
    return function (at, pixels, to) {
      const from = 3 * level(at);
      for (let channel = 0; channel < 3; channel++) pixels[to + channel] = table[from + channel];
    };
  }

  function pictureOf(item, plane, index) {
    const paint = paintOf(item);
    if (!paint) return null;
    const [c, r] = others(plane.axis);
    const picture = document.createElement("canvas");
    picture.width = size[c];
    picture.height = size[r];
    const context = picture.getContext("2d");
    const pixels = context.createImageData(size[c], size[r]);
    pixels.data.fill(255);
    let to = 0;
    for (let row = size[r] - 1; row >= 0; row--) {
      let at = index * stride[plane.axis] + row * stride[r] + (size[c] - 1) * stride[c];
      for (let column = size[c]; column > 0; column--, at -= stride[c], to += 4) paint(at, pixels.data, to);
    }
    context.putImageData(pixels, 0, 0);
    return picture;
  }

  // Width and height of a plane in the unit of the spacing.
  function extent(plane) {
    const [c, r] = others(plane.axis);
    return [size[c] * data.spacing[c], size[r] * data.spacing[r]];
  }

  // Pixels per unit at which all planes shown together fit.
  function fitting(width) {
    const most = window.innerHeight * (state.view === "compare" ? 0.75 : 0.6);
    const together = state.view === "planes" ? data.planes : [data.planes[state.plane]];
    return Math.min(...together.map(extent).map(([across, down]) => Math.min(width / across, most / down)));
  }

  // Position of a plane on the canvas of its pane: left, top, width, height, and pixels per voxel along both axes.
  function placed(pane) {
    const plane = data.planes[pane.plane()];
    const [c, r] = others(plane.axis);
    const [across, down] = extent(plane);
    const scale = pane.fit * state.zoom;
    const [middleX, middleY] = state.middle[plane.axis];
    return {
      left: pane.width / 2 - middleX * across * scale, top: pane.height / 2 - middleY * down * scale,
      x: data.spacing[c] * scale, y: data.spacing[r] * scale, width: across * scale, height: down * scale,
    };
  }

  function drawPicture(context, item, plane, spot) {
    const picture = pictureOf(item, plane, state.at[plane.axis]);
    if (!picture) return false;
    const ratio = window.devicePixelRatio || 1;
    const blocks = item.name === input && !item.kind;
    context.imageSmoothingEnabled = !blocks && Math.max(spot.x, spot.y) * ratio < SHARP_FROM;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, spot.left, spot.top, spot.width, spot.height);
    return true;
  }

  function drawCross(context, plane, spot, place, colour, width, height) {
    const [c, r] = others(plane.axis);
    const x = spot.left + (size[c] - place[c] - 0.5) * spot.x;
    const y = spot.top + (size[r] - place[r] - 0.5) * spot.y;
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.moveTo(0, y);
    context.lineTo(width, y);
    context.stroke();
  }

  function drawEdges(context, plane, width, height) {
    const [left, right, top, bottom] = plane.edges;
    if (!left) return;
    context.font = "600 12px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.fillStyle = "#e8ebef";
    const letters = [[left, 10, height / 2], [right, width - 10, height / 2], [top, width / 2, 11], [bottom, width / 2, height - 9]];
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [letter, x, y] of letters) {
      context.strokeText(letter, x, y);
      context.fillText(letter, x, y);
    }
  }

  // A bar of a round length, at most a third of the width; none where the voxel size is unknown.
  function drawScale(context, perUnit, width, height) {
    if (data.unit === "pixel") return;
    const most = width / 3 / perUnit;
    const power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].find((digit) => digit * power <= most) * power;
    const across = length * perUnit, left = 10, top = height - 12;
    const text = Number(length.toPrecision(1)) + " " + data.unit;
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.fillStyle = "#e8ebef";
    context.strokeRect(left, top, across, 3);
    context.fillRect(left, top, across, 3);
    context.font = "600 11px system-ui, sans-serif";
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.strokeText(text, left, top - 3);
    context.fillText(text, left, top - 3);
  }

  function drawPane(pane) {
    const plane = data.planes[pane.plane()];
    const width = pane.stage.clientWidth;
    pane.fit = fitting(width);
    const height = Math.round(Math.max(MIN_HEIGHT, extent(plane)[1] * pane.fit));
    const ratio = window.devicePixelRatio || 1;
    pane.canvas.width = Math.round(width * ratio);
    pane.canvas.height = Math.round(height * ratio);
    pane.canvas.style.height = height + "px";
    pane.width = width;
    pane.height = height;
    const context = pane.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const spot = placed(pane);
    const items = pane.items();
    let whole = true;
    items.forEach((item, place) => {
      context.save();
      if (items.length > 1) {
        const border = (width * state.split) / 100;
        context.beginPath();
        context.rect(place ? border : 0, 0, place ? width - border : border, height);
        context.clip();
      }
      whole = drawPicture(context, item, plane, spot) && whole;
      context.restore();
    });
    if (state.view === "planes") drawCross(context, plane, spot, state.at, "#ffd166aa", width, height);
    if (state.hover && state.hover.axis === plane.axis) drawCross(context, plane, spot, state.hover.place, "#7fd0d499", width, height);
    drawEdges(context, plane, width, height);
    drawScale(context, pane.fit * state.zoom, width, height);
    pane.name.textContent = items.map(titleOf).join(" | ") + (state.view === "planes" ? ", " + plane.name : "");
    pane.canvas.setAttribute("aria-label", items.map(titleOf).join(" beside ") + ", " + placeWords(plane));
    return whole;
  }

  function titleOf(item) {
    const title = layers.get(item.name).title;
    const letter = item.name === state.first ? "A: " : item.name === state.second ? "B: " : "";
    const heading = { error: "Error of ", ledger: "Detail of " }[item.kind];
    return heading ? heading + (letter ? letter[0] : title) : letter + title;
  }

  // Panes

  let shown = [];

  function addPane(items, plane, legend) {
    const figure = document.createElement("figure");
    const name = document.createElement("figcaption");
    const stage = document.createElement("div");
    const canvas = document.createElement("canvas");
    stage.className = "canvas";
    canvas.setAttribute("role", "img");
    stage.append(canvas);
    figure.append(name, stage);
    if (legend) figure.append(legend);
    panes.append(figure);
    const pane = { canvas, name, stage, items, plane };
    shown.push(pane);
    followPointer(pane);
    return pane;
  }

  function legendOf(low, high, colours) {
    const legend = document.createElement("p");
    legend.className = "bar";
    const bar = document.createElement("canvas");
    bar.width = LEVELS + 1;
    bar.height = 1;
    const context = bar.getContext("2d");
    for (let level = 0; level <= LEVELS; level++) {
      context.fillStyle = "rgb(" + colours.slice(3 * level, 3 * level + 3).join(",") + ")";
      context.fillRect(level, 0, 1, 1);
    }
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", "Colour bar, from dark to bright");
    const ends = [low, high].map((text) => {
      const end = document.createElement("span");
      end.textContent = text;
      return end;
    });
    legend.append(ends[0], bar, ends[1]);
    return legend;
  }

  function ledgerLegend() {
    const legend = document.createElement("p");
    legend.className = "bar";
    for (const [kind, colour] of DETAIL) {
      const entry = document.createElement("span");
      const sample = document.createElement("span");
      sample.className = "sample";
      sample.style.background = "rgb(" + colour.join(",") + ")";
      entry.append(sample, kind);
      legend.append(entry);
    }
    return legend;
  }

  function build() {
    panes.replaceChildren();
    panes.className = "panes " + state.view;
    shown = [];
    const plane = () => state.plane;
    const one = (name) => () => [{ name: name() }];
    const compared = (name, kind) => () => [{ name: name(), kind }];
    const first = () => state.first, second = () => state.second;
    const scale = () => legendOf("0", "≥ " + Math.round(100 * data.error_share) + "%", data.inferno);
    if (state.view === "planes") {
      data.planes.forEach((_, place) => addPane(one(first), () => place));
    } else if (state.view === "compare") {
      const pane = addPane(() => [{ name: state.first }, { name: state.second }], plane);
      const divider = document.createElement("span");
      divider.className = "divider";
      const handle = document.createElement("span");
      handle.className = "handle";
      divider.append(handle);
      pane.stage.append(divider);
      pane.stage.id = "compare-stage";
    } else {
      for (const name of [() => input, second, first, () => reference]) addPane(one(name), plane);
      for (const name of [second, first]) addPane(compared(name, "error"), plane, scale());
      if (data.base) addPane(compared(first, "ledger"), plane, ledgerLegend());
      for (const name of named("map")) addPane(one(() => name), plane, legendOf(...layers.get(name).legend, layers.get(name).colours));
    }
    part("slider").hidden = state.view !== "compare";
    schedule();
  }

  // Status line below the controls

  // A difference of intensities, and an absolute intensity, in the units of the image.
  function difference(level) {
    return Number(((level / LEVELS) * data.top).toPrecision(4)).toString();
  }

  function inUnits(level) {
    return Number((data.bottom + (level / LEVELS) * data.top).toPrecision(4)).toString();
  }

  function placeWords(plane) {
    const index = state.at[plane.axis];
    const count = index + 1 + " of " + size[plane.axis];
    return plane.axis === data.axis ? data.labels[index] + " (" + count + ")" : plane.name + " " + count;
  }

  function updateState() {
    const plane = data.planes[state.plane];
    const zoom = Math.round(100 * state.zoom) + "%";
    part("state").textContent = placeWords(plane) + " · zoom " + zoom + " · black " + inUnits(black()) + ", white " + inUnits(white());
    const slice = part("slice");
    slice.max = String(size[plane.axis] - 1);
    slice.value = String(state.at[plane.axis]);
    slice.setAttribute("aria-valuetext", placeWords(plane));
    for (const name of ["level", "width"]) {
      part(name).value = String(state[name]);
      part(name).setAttribute("aria-valuetext", name === "width" ? difference(state[name]) : inUnits(state[name]));
    }
    part("view").value = state.view;
    part("first").value = state.first;
    part("second").value = state.second;
    if (part("plane")) part("plane").value = String(state.plane);
    split.value = String(state.split);
    panes.style.setProperty("--split", state.split + "%");
    part("readout").textContent = state.hover ? valuesAt(state.hover.place) : "\u00a0";
  }

  function valuesAt(place) {
    const at = place[0] * stride[0] + place[1] * stride[1] + place[2] * stride[2];
    const names = [...new Set([input, state.second, state.first, reference])];
    const values = names.filter((name) => volumes.get(name)).map((name) => layers.get(name).title + " " + volumes.get(name).map((one) => inUnits(one[at])).join(", "));
    const [base, own, target] = [data.base, state.first, reference].map((name) => volumes.get(name));
    if (base && own && target) {
      const amounts = detailAt(base, own, target, at);
      values.push("detail of A: " + DETAIL.map(([kind], place) => kind + " " + difference(amounts[place])).join(", "));
    }
    return "approx. " + values.join(" · ");
  }

  let waiting = false;

  function schedule() {
    panes.setAttribute("aria-busy", "true");
    if (waiting) return;
    waiting = true;
    window.requestAnimationFrame(function () {
      waiting = false;
      const whole = shown.map(drawPane).every(Boolean);
      updateState();
      if (whole) panes.setAttribute("aria-busy", "false");
    });
  }

  // Interaction

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function goTo(index, axis = data.planes[state.plane].axis) {
    state.at[axis] = clamp(index, 0, size[axis] - 1);
    schedule();
  }

  function scroll(steps) {
    goTo(state.at[data.planes[state.plane].axis] + steps);
  }

  function zoomBy(factor) {
    state.zoom = clamp(state.zoom * factor, 1, MAX_ZOOM);
    if (state.zoom < 1.01) state.zoom = 1;
    if (state.zoom === 1) state.middle = size.map(() => [0.5, 0.5]);
    schedule();
  }

  function reset() {
    Object.assign(state, { zoom: 1, level: data.white / 2, width: data.white, split: 50, middle: size.map(() => [0.5, 0.5]) });
    schedule();
  }

  function setWindow(level, width) {
    state.level = clamp(level, 0, LEVELS);
    state.width = clamp(width, 1, LEVELS);
    schedule();
  }

  function swap() {
    [state.first, state.second] = [state.second, state.first];
    schedule();
  }

  function choose(name) {
    if (!name) return;
    state.first = name;
    schedule();
  }

  function show(view) {
    state.view = view;
    build();
  }

  function nextOf(select) {
    select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    return select.value;
  }

  function moveSplit(percent) {
    state.split = clamp(percent, 0, 100);
    schedule();
  }

  function placeOf(pane, event) {
    const plane = data.planes[pane.plane()];
    const [c, r] = others(plane.axis);
    const edges = pane.canvas.getBoundingClientRect();
    const spot = placed(pane);
    const place = [...state.at];
    place[c] = size[c] - 1 - Math.floor((event.clientX - edges.left - spot.left) / spot.x);
    place[r] = size[r] - 1 - Math.floor((event.clientY - edges.top - spot.top) / spot.y);
    const inside = [c, r].every((axis) => place[axis] >= 0 && place[axis] < size[axis]);
    return inside ? { axis: plane.axis, place } : null;
  }

  function followPointer(pane) {
    const canvas = pane.canvas;
    let from = null;

    canvas.addEventListener("pointerdown", function (event) {
      if (event.button !== 0) return;
      panes.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      const edges = canvas.getBoundingClientRect();
      const border = edges.left + (edges.width * state.split) / 100;
      const gripped = state.view === "compare" && Math.abs(event.clientX - border) <= GRIP_PIXELS;
      from = {
        x: event.clientX, y: event.clientY, moved: false, gripped,
        middle: [...state.middle[data.planes[pane.plane()].axis]], level: state.level, width: state.width,
      };
      event.preventDefault();
    });

    canvas.addEventListener("pointermove", function (event) {
      state.hover = placeOf(pane, event);
      if (from) drag(event);
      schedule();
    });

    function drag(event) {
      const plane = data.planes[pane.plane()];
      const right = event.clientX - from.x, down = event.clientY - from.y;
      from.moved = from.moved || Math.hypot(right, down) > CLICK_PIXELS;
      if (from.gripped) {
        const edges = canvas.getBoundingClientRect();
        moveSplit((100 * (event.clientX - edges.left)) / edges.width);
      } else if (event.shiftKey) {
        setWindow(from.level - down / 2, from.width + right);
      } else if (state.zoom > 1) {
        const spot = placed(pane);
        state.middle[plane.axis] = [clamp(from.middle[0] - right / spot.width, 0, 1), clamp(from.middle[1] - down / spot.height, 0, 1)];
      }
    }

    canvas.addEventListener("pointerup", function (event) {
      const target = placeOf(pane, event);
      if (from && !from.moved && !from.gripped && target) state.at = target.place;
      from = null;
      schedule();
    });
    canvas.addEventListener("pointercancel", () => (from = null));
    canvas.addEventListener("pointerleave", function () {
      state.hover = null;
      schedule();
    });
  }

  panes.addEventListener("wheel", function (event) {
    const steps = Math.sign(event.deltaY);
    if (event.ctrlKey) zoomBy(steps < 0 ? ZOOM_STEP : 1 / ZOOM_STEP);
    else if (document.activeElement === panes) scroll(-steps);
    else return;
    event.preventDefault();
  }, { passive: false });

  const keys = {
    ArrowUp: () => scroll(1), ArrowRight: () => scroll(1), ArrowDown: () => scroll(-1), ArrowLeft: () => scroll(-1),
    PageUp: () => scroll(TEN), PageDown: () => scroll(-TEN), Home: () => goTo(0), End: () => goTo(Infinity),
    " ": swap, "+": () => zoomBy(ZOOM_STEP), "=": () => zoomBy(ZOOM_STEP), "-": () => zoomBy(1 / ZOOM_STEP),
    "−": () => zoomBy(1 / ZOOM_STEP), 0: reset, ",": () => moveSplit(state.split - 5), ".": () => moveSplit(state.split + 5),
    v: () => show(nextOf(part("view"))), "?": () => part("help").showModal(),
    p: () => part("plane") && setPlane(nextOf(part("plane"))),
  };
  data.keys.slice(0, 9).forEach((name, place) => (keys[place + 1] = () => choose(name)));

  function setPlane(value) {
    state.plane = Number(value);
    schedule();
  }

  panes.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== panes) return;
    const act = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (!act) return;
    act();
    event.preventDefault();
  });

  const number = (name) => Number(part(name).value);
  part("view").addEventListener("change", () => show(part("view").value));
  part("first").addEventListener("change", () => choose(part("first").value));
  part("second").addEventListener("change", function () {
    state.second = part("second").value;
    schedule();
  });
  if (part("plane")) part("plane").addEventListener("change", () => setPlane(part("plane").value));
  part("slice").addEventListener("input", () => goTo(number("slice")));
  part("level").addEventListener("input", () => setWindow(number("level"), state.width));
  part("width").addEventListener("input", () => setWindow(state.level, number("width")));
  part("swap").addEventListener("click", swap);
  part("in").addEventListener("click", () => zoomBy(ZOOM_STEP));
  part("out").addEventListener("click", () => zoomBy(1 / ZOOM_STEP));
  part("reset").addEventListener("click", reset);
  part("keys").addEventListener("click", () => part("help").showModal());
  split.addEventListener("input", () => moveSplit(Number(split.value)));
  new ResizeObserver(schedule).observe(box);

  box.hidden = false;
  build();
})();
