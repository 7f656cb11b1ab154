"use strict";
// All text of the user's goes through textContent: it is never read as HTML.
const { unit, tokens, layers, kinds } = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const n = tokens.length;
const digits = String(unit).length - 1;
const show = (weight) => (weight / unit).toFixed(digits);
let layer = 0, head = 0, chosen = n - 1, row = chosen;

function make(tag, parent, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}

// A choice of one among several: native radio buttons, so the arrow keys and screen readers know them.
function choice(parent, group, onChoose) {
  const label = make("label", parent);
  const input = make("input", label);
  Object.assign(input, { type: "radio", name: group, autocomplete: "off" });
  input.addEventListener("change", onChoose);
  input.addEventListener("focus", () => { if (input.checked) onChoose(); });
  return label;
}

// The weight of query i for key j in thousandths; null where it does not see it.
const weightOf = (of, i, j) => of.rows[i][j] ?? null;

function colour(share) {
  const steps = ramp.length - 1, place = Math.min(share * steps, steps - 1e-9), from = Math.floor(place);
  return ramp[from].map((x, k) => Math.round(x + (ramp[from + 1][k] - x) * (place - from)));
}

let ramp = [];
function readRamp() {
  const hexes = getComputedStyle(document.documentElement).getPropertyValue("--ramp").trim().split(/\s+/);
  ramp = hexes.map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
}

// A pixel for each pair.
function paint(canvas, of) {
  canvas.width = canvas.height = n;
  const image = new ImageData(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const weight = weightOf(of, i, j);
      if (weight !== null) image.data.set([...colour(Math.sqrt(weight / unit)), 255], 4 * (i * n + j));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const sheet = document.createElement("canvas");  // of the chosen head, a pixel for each pair
function drawMap() {
  const canvas = at("map"), side = Math.round(canvas.clientWidth * devicePixelRatio), cell = side / n;
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, 0, 0, side, side);
  pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--mark");
  pen.lineWidth = 2 * devicePixelRatio;
  pen.strokeRect(1, row * cell, side - 2, cell);
}

function showRow(i) {
  row = i;
  const of = layers[layer][head];
  const order = [];
  labels.forEach(({ label, number, hidden }, j) => {
    const weight = weightOf(of, i, j);
    label.classList.toggle("query", j === i);
    label.classList.toggle("unseen", weight === null);
    label.style.setProperty("--share", Math.sqrt((weight ?? 0) / unit));
    number.textContent = weight === null ? "" : show(weight);
    hidden.textContent = weight === null ? ", not seen" : "";
    if (weight !== null) order.push([weight, j]);
  });
  order.sort((a, b) => b[0] - a[0]);
  const most = order.slice(0, 3).map(([weight, j]) => `“${tokens[j][0]}” ${show(weight)}`).join(", ");
  at("said").textContent =
    `“${tokens[i][0]}” (token ${i + 1} of ${n}) looks at ${most || "nothing"}. ` +
    `Entropy ${of.entropy[i].toFixed(2)} nats, mean distance ${of.distance[i].toFixed(1)} tokens.`;
  drawMap();
}

function showHead() {
  at("layer").value = layer;
  at("head").value = head;
  radios[layer][head].checked = true;
  const kind = kinds.find(([l, h]) => l === layer + 1 && h === head + 1);
  at("kind").textContent = `Kind: ${kind[2]}`;
  paint(sheet, layers[layer][head]);
  showRow(row);
}

function fillHeads() {
  at("head").replaceChildren();
  layers[layer].forEach((_, h) => { make("option", at("head"), h + 1).value = h; });
}

function choose(l, h) {
  const another = l !== layer;
  layer = l;
  head = Math.min(h, layers[l].length - 1);
  if (another) fillHeads();
  showHead();
}

readRamp();
const radios = layers.map((heads, l) => {
  const line = make("div", at("heads"));
  return heads.map((of, h) => {
    const label = choice(line, "head", () => choose(l, h));
    make("canvas", label).setAttribute("aria-hidden", "true");
    const kind = kinds.find(([x, y]) => x === l + 1 && y === h + 1)[2];
    make("span", label, `${l + 1}.${h + 1} ${kind}`);
    return label.querySelector("input");
  });
});
const labels = tokens.map(([text, known], j) => {
  const label = choice(at("tokens"), "token", () => { chosen = j; showRow(j); });
  if (!known) {
    label.classList.add("unknown");
    label.title = "not in the vocabulary: the model reads <unk>";
  }
  make("bdi", label, text + (known ? "" : "\u00a0?"));
  if (!known) make("span", label, "(not in the vocabulary)", "hidden");
  label.addEventListener("pointerenter", () => showRow(j));
  return { label, number: make("span", label, "", "number"), hidden: make("span", label, "", "hidden") };
});
at("tokens").addEventListener("pointerleave", () => showRow(chosen));

layers.forEach((_, l) => { make("option", at("layer"), l + 1).value = l; });
at("layer").addEventListener("change", (event) => choose(Number(event.target.value), head));
at("head").addEventListener("change", (event) => choose(layer, Number(event.target.value)));

function pair(event) {
  const box = at("map").getBoundingClientRect();
  const place = (x, from, size) => Math.max(0, Math.min(n - 1, Math.floor(((x - from) / size) * n)));
  return [place(event.clientY, box.top, box.height), place(event.clientX, box.left, box.width)];
}
at("map").addEventListener("pointermove", (event) => {
  const [i, j] = pair(event), weight = weightOf(layers[layer][head], i, j);
  const says = weight === null ? "does not see" : `gives ${show(weight)} to`;
  at("cell").textContent = `“${tokens[i][0]}” (${i + 1}) ${says} “${tokens[j][0]}” (${j + 1})`;
  if (i !== row) showRow(i);
});
at("map").addEventListener("pointerleave", () => showRow(chosen));
at("map").addEventListener("click", (event) => {
  chosen = pair(event)[0];
  labels[chosen].label.querySelector("input").checked = true;
  showRow(chosen);
});

function paintAll() {
  readRamp();
  layers.forEach((heads, l) => heads.forEach((of, h) => {
    paint(radios[l][h].parentElement.querySelector("canvas"), of);
  }));
  showHead();
}
fillHeads();
labels[chosen].label.querySelector("input").checked = true;
paintAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintAll);
addEventListener("resize", drawMap);
