"use strict";
// The attention explorer. The page holds the scores of every head; masks, temperature and softmax are worked out here.
{
  const { at, make, svg, fixed, number, softmax, sum } = Play;
  const { unit, layers, heads, names, sentences, start } = JSON.parse(at("data").textContent);
  const root = at("play");
  let head = [0, 0];
  let chosen = 0; // the query that stays
  let row = 0; // the query that is shown, while the pointer is over another
  let tokens, n, maps, ramp;

  const quoted = (k) => `“${tokens[k]}”`;
  const mask = () => root.querySelector('input[name="mask"]:checked').value;
  const temperature = () => Number(at("temperature").value);
  const span = () => Number(at("window").value);

  const ALLOWED = {
    causal: (i, j) => j <= i,
    window: (i, j) => j <= i && i - j < span(),
    none: () => true,
  };

  // All weights of the sentence under the chosen mask and temperature: [layer][head][query][key].
  function recompute() {
    const hot = temperature(), allows = ALLOWED[mask()];
    const allowed = tokens.map((_, i) => tokens.map((_, j) => allows(i, j)));
    const scores = sentences[at("sentence").value].scores;
    maps = scores.map((layer) => layer.map((rows) => {
      const exact = rows.map((keys) => keys.map((score) => score / unit));
      return { scores: exact, allowed, weights: exact.map((keys, i) => softmax(keys.map((s) => s / hot), allowed[i])) };
    }));
  }

  const now = () => maps[head[0]][head[1]];

  // A small label that is a radio button: arrow keys and screen readers know it.
  function choice(parent, group, name, onChoose) {
    const label = make("label", parent);
    const input = make("input", label, "", { type: "radio", name: group, autocomplete: "off" });
    if (name) input.setAttribute("aria-label", name);
    input.addEventListener("change", onChoose);
    return label;
  }

  const called = (l, h) => `${l + 1}.${h + 1} ${names[l][h]}`;

  function makeHeads() {
    for (let l = 0; l < layers; l++) {
      const line = make("div", at("heads"));
      make("span", line, `Layer ${l + 1}`, { class: "layer" });
      for (let h = 0; h < heads; h++) {
        const label = choice(line, "head", `Head ${called(l, h)}`, () => { head = [l, h]; show(); });
        make("canvas", label, "", { "aria-hidden": "true" });
        make("span", label, called(l, h), { "aria-hidden": "true" });
      }
    }
  }

  function makeTokens() {
    at("tokens").replaceChildren();
    tokens.forEach((token, j) => {
      const label = choice(at("tokens"), "token", "", () => { chosen = j; showRow(j); });
      label.addEventListener("pointerenter", () => showRow(j));
      make("bdi", label, token);
      make("span", label, "", { class: "weight" });
    });
  }

  function colour(weight) {
    const steps = ramp.length - 1, place = Math.min(Math.sqrt(weight) * steps, steps - 1e-9), from = Math.floor(place);
    return ramp[from].map((x, k) => Math.round(x + (ramp[from + 1][k] - x) * (place - from)));
  }

  function readRamp() {
    const hexes = getComputedStyle(root).getPropertyValue("--attention-ramp").trim().split(/\s+/);
    ramp = hexes.map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  }

  // The small maps: a pixel for each pair, none where the mask hides it.
  function drawHeads() {
    at("heads").querySelectorAll("canvas").forEach((canvas, k) => {
      const { allowed, weights } = maps[Math.floor(k / heads)][k % heads];
      canvas.width = canvas.height = n;
      const image = new ImageData(n, n);
      weights.forEach((keys, i) => keys.forEach((weight, j) => {
        if (allowed[i][j]) image.data.set([...colour(weight), 255], 4 * (i * n + j));
      }));
      canvas.getContext("2d").putImageData(image, 0, 0);
    });
  }

  const CELL = 20, RIM = 62;
  let cells, mark;
  function drawMap() {
    const { allowed, weights } = now(), side = RIM + n * CELL;
    at("map").replaceChildren();
    const image = svg("svg", at("map"), {
      viewBox: `0 0 ${side + 2} ${side + 2}`, role: "img", style: `max-width: ${1.3 * side}px`,
      "aria-label": `Map of the weights of head ${called(...head)}: rows are queries, columns are keys. The same numbers stand with the tokens.`,
    });
    cells = svg("g", image);
    tokens.forEach((token, i) => {
      const middle = RIM + (i + 0.5) * CELL;
      svg("text", image, { x: RIM - 6, y: middle + 4, "text-anchor": "end", class: "query" }, token);
      svg("text", image, { x: 0, y: 0, transform: `translate(${middle + 4} ${RIM - 6}) rotate(-90)` }, token);
      for (let j = 0; j < n; j++) {
        const place = { x: RIM + j * CELL, y: RIM + i * CELL, width: CELL, height: CELL };
        const fill = allowed[i][j] ? `rgb(${colour(weights[i][j])})` : "none";
        svg("rect", cells, { ...place, fill, "data-pair": `${i} ${j}` });
      }
    });
    svg("rect", image, { class: "frame", x: RIM, y: RIM, width: n * CELL, height: n * CELL });
    mark = svg("rect", image, { class: "mark", x: RIM, width: n * CELL, height: CELL });
  }

  function showRow(i) {
    row = i;
    const { scores, allowed, weights } = now(), hot = temperature();
    at("tokens").querySelectorAll("label").forEach((label, j) => {
      const seen = allowed[i][j], place = label.querySelector(".weight");
      label.classList.toggle("query", j === i);
      label.classList.toggle("unseen", !seen);
      label.style.setProperty("--share", Math.sqrt(weights[i][j]));
      place.replaceChildren();
      if (seen) number(place, weights[i][j]);
      else make("span", place, "hidden", { class: "offscreen" });
    });
    at("row-of").textContent = `${quoted(i)}, token ${i + 1} of ${n}`;
    const body = at("row");
    body.replaceChildren();
    tokens.forEach((token, j) => {
      const seen = allowed[i][j], line = make("tr", body, "", seen ? {} : { class: "gone" });
      make("bdi", make("th", line, "", { scope: "row" }), token);
      number(make("td", line), scores[i][j]);
      number(make("td", line), seen ? scores[i][j] / hot : -Infinity);
      number(make("td", line), weights[i][j]);
      const bar = make("span", make("td", line, "", { class: "bar" }), "", { class: "play-bar", "aria-hidden": "true" });
      make("i", bar).style.width = `${100 * weights[i][j]}%`;
    });
    mark.setAttribute("y", RIM + i * CELL);
    at("said").textContent = inWords(i);
  }

  function inWords(i) {
    const { allowed, weights } = now();
    const order = tokens.map((_, j) => j).filter((j) => allowed[i][j]).sort((a, b) => weights[i][b] - weights[i][a]);
    const most = order.slice(0, 3).map((j) => `${quoted(j)} ${fixed(weights[i][j])}`).join(", ");
    const others = order.length > 3 ? `; ${order.length - 3} more share ${fixed(sum(order.slice(3).map((j) => weights[i][j])))}` : "";
    return `${quoted(i)} (token ${i + 1}) looks at ${most}${others}. Entropy ${fixed(Play.entropy(weights[i]), 2)} nats.`;
  }

  // Means over the queries that see two keys or more: one that sees a single key has no choice.
  function measures() {
    const { allowed, weights } = now();
    const choosing = tokens.map((_, i) => i).filter((i) => allowed[i].filter(Boolean).length > 1);
    const mean = (of) => (choosing.length ? sum(choosing.map((i) => of(weights[i], i))) / choosing.length : NaN);
    return {
      entropy: mean((keys) => Play.entropy(keys)),
      uniform: mean((_, i) => Math.log(allowed[i].filter(Boolean).length)),
      distance: mean((keys, i) => sum(keys.map((weight, j) => weight * Math.abs(i - j)))),
      previous: mean((keys, i) => (i ? keys[i - 1] : 0)),
      own: mean((keys, i) => keys[i]),
      first: mean((keys) => keys[0]),
    };
  }

  function showMeasures() {
    for (const [name, x] of Object.entries(measures())) {
      at(`m-${name}`).replaceChildren();
      if (Number.isNaN(x)) at(`m-${name}`).textContent = "–";
      else number(at(`m-${name}`), x, 2);
    }
  }

  function show() {
    recompute();
    const hot = temperature();
    at("temperature-shown").textContent = hot.toFixed(1);
    at("window-shown").textContent = span();
    at("temperature").setAttribute("aria-valuetext", `${hot.toFixed(1)}${hot === 1 ? ", the model's own" : ""}`);
    const own = hot === 1 && mask() === "causal";
    at("whose").textContent = own
      ? "These are the model's own weights."
      : "Not the model's own weights: it was trained with the causal mask and temperature 1. Its scores are the same.";
    at("heads").querySelectorAll("input")[head[0] * heads + head[1]].checked = true;
    at("one").textContent = `Head ${called(...head)}`;
    drawHeads();
    drawMap();
    showRow(chosen);
    showMeasures();
  }

  function read(sentence, query) {
    at("sentence").value = sentence;
    ({ tokens } = sentences[sentence]);
    n = tokens.length;
    chosen = Math.max(0, Math.min(n - 1, query));
    makeTokens();
    at("tokens").querySelectorAll("input")[chosen].checked = true;
  }

  function reset() {
    at("temperature").value = 1;
    at("mask-causal").checked = true;
    show();
  }

  sentences.forEach((sentence, k) => { make("option", at("sentence"), sentence.tokens.join(" "), { value: k }); });
  makeHeads();
  at("sentence").addEventListener("change", () => { read(Number(at("sentence").value), Infinity); show(); });
  for (const input of root.querySelectorAll('input[name="mask"], #temperature')) input.addEventListener("input", show);
  at("window").addEventListener("input", () => { at("mask-window").checked = true; show(); });
  at("reset").addEventListener("click", reset);
  at("tokens").addEventListener("pointerleave", () => showRow(chosen));
  at("tokens").addEventListener("focusin", () => showRow(chosen));

  const pair = (event) => event.target.dataset?.pair?.split(" ").map(Number);
  at("map").addEventListener("pointermove", (event) => {
    if (!pair(event)) return;
    const [i, j] = pair(event), { allowed, weights } = now();
    if (i !== row) showRow(i);
    at("cell").textContent = allowed[i][j]
      ? `${quoted(i)} (${i + 1}) gives ${fixed(weights[i][j])} to ${quoted(j)} (${j + 1})`
      : `${quoted(i)} (${i + 1}) does not see ${quoted(j)} (${j + 1})`;
  });
  at("map").addEventListener("pointerleave", () => showRow(chosen));
  at("map").addEventListener("click", (event) => {
    if (!pair(event)) return;
    [chosen] = pair(event);
    at("tokens").querySelectorAll("input")[chosen].checked = true;
    showRow(chosen);
  });

  // The buttons beside the things to look for: they set everything, and the keyboard goes to the query.
  const query = { focus: (how) => at("tokens").querySelectorAll("input")[chosen].focus(how) };
  Play.tries(root, query, (wanted) => {
    look(wanted);
    show();
  });

  function look(wanted) {
    at("temperature").value = wanted.temperature ?? 1;
    if (wanted.window) at("window").value = wanted.window;
    at(`mask-${wanted.mask ?? "causal"}`).checked = true;
    head = [wanted.layer - 1, wanted.head - 1];
    read(wanted.sentence, wanted.query);
  }

  // The theme's switch of colours changes an attribute of the body.
  new MutationObserver(() => { readRamp(); show(); }).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  readRamp();
  root.hidden = false;
  look(start);
  show();
}
