"use strict";
{
  const { at, make, svg, fixed, number, sum, softmax } = Play;
  const root = at("play"), E = 2, MOST = 12;
  let scores, hidden, values;

  const blockSize = () => Number(at("block").value);
  const masked = () => scores.map((s, j) => (hidden[j] ? -Infinity : s));

  function draw(n) {
    const normal = Play.normals(Play.seed());
    scores = Array.from({ length: n }, () => Play.rounded(1.5 * normal()));
    values = Array.from({ length: n }, () => Array.from({ length: E }, () => Play.rounded(normal())));
    hidden = scores.map(() => false);
  }

  // The state after each block: m, l and o, and how it came about.
  function online() {
    const all = masked(), size = blockSize(), states = [];
    let m = at("begin").value === "lowest" ? -Number.MAX_VALUE : -Infinity, l = 0, o = Array(E).fill(0), parts = [];
    for (let from = 0; from < all.length; from += size) {
      const block = all.slice(from, from + size), here = Math.max(...block);
      const old = { m, l, o, parts };
      m = Math.max(m, here);
      const shrink = Math.exp(old.m - m), powers = block.map((s) => Math.exp(s - m));
      const rescaled = { l: l * shrink, o: o.map((x) => x * shrink), parts: parts.map((x) => x * shrink) };
      const added = { l: sum(powers), o: o.map((_, e) => sum(powers.map((p, k) => p * values[from + k][e]))) };
      l = rescaled.l + added.l;
      o = rescaled.o.map((x, e) => x + added.o[e]);
      parts = [...rescaled.parts, added.l];
      states.push({ from, block, here, old, m, shrink, powers, rescaled, added, l, o, parts });
    }
    return states;
  }

  // As the answer of a query with no key at all: zeros.
  const divided = (o, l) => o.map((x) => (l === 0 ? 0 : x / l));

  function plain() {
    const all = masked(), m = Math.max(...all), weights = softmax(all, hidden.map((h) => !h));
    const l = m === -Infinity ? 0 : sum(all.map((s) => Math.exp(s - m)));
    return { m, l, output: [...Array(E).keys()].map((e) => sum(weights.map((w, j) => w * values[j][e]))) };
  }

  function steps() {
    const blocks = Math.ceil(scores.length / blockSize());
    const three = (k) => ["look", "rescale", "add"].map((kind) => ({ kind, k }));
    return [{ kind: "begin", k: -1 }, ...Array.from({ length: blocks }, (_, k) => three(k)).flat(), { kind: "divide", k: blocks }];
  }

  const list = (xs, digits = 3) => `(${xs.map((x) => fixed(x, digits)).join(", ")})`;
  const power = (a, b) => `exp(${fixed(a)} − ${b < 0 ? `(${fixed(b)})` : fixed(b)})`;

  function words({ kind, k }, states) {
    if (kind === "begin") {
      const where = at("begin").value === "lowest" ? "the lowest finite number, about −1.8 · 10³⁰⁸" : "−∞";
      return ["Before the first block", `Nothing is known: m is ${where}, ℓ = 0 and o = (0, 0).`];
    }
    if (kind === "divide") {
      const { l, o } = states.at(-1);
      const why = l === 0 ? "ℓ is 0: the query saw no key, and gets zeros." : `o / ℓ = ${list(o)} / ${fixed(l)} = ${list(divided(o, l))}.`;
      return ["After the last block: divide", why];
    }
    const { from, block, here, old, m, shrink, powers, rescaled, added, l, o } = states[k];
    const name = `Block ${k}, key${block.length > 1 ? `s ${from} to ${from + block.length - 1}` : ` ${from}`}`;
    if (kind === "look") {
      const change = m > old.m ? `m rises to ${fixed(m)}.` : `m stays ${fixed(m)}.`;
      return [`${name}: the largest`, `Scores ${list(block, 1)}. The largest of them is ${fixed(here, 1)}: ${change}`];
    }
    if (kind === "rescale") {
      const factor = `${power(old.m, m)} = ${fixed(shrink)}`;
      if (Number.isNaN(shrink)) return [`${name}: rescale`, `exp(−∞ − (−∞)) is NaN, not a number; so ℓ and o are NaN from here on.`];
      if (shrink === 1) return [`${name}: rescale`, `The factor is ${factor}: m is what it was, so ℓ and o stay.`];
      if (old.l === 0) return [`${name}: rescale`, `The factor is ${factor}. There is nothing to rescale yet: ℓ and o are 0.`];
      return [`${name}: rescale`, `m rose, so the old sums shrink by ${factor}: ℓ from ${fixed(old.l)} to ${fixed(rescaled.l)}, o from ${list(old.o)} to ${list(rescaled.o)}.`];
    }
    return [`${name}: add`, `exp(s − m) is ${list(powers)}, together ${fixed(added.l)}; with the values ${list(added.o)}. So ℓ = ${fixed(rescaled.l)} + ${fixed(added.l)} = ${fixed(l)}, and o = ${list(o)}.`];
  }

  function show(step) {
    const states = online(), now = steps()[step];
    const [title, text] = words(now, states);
    const box = at("step");
    box.replaceChildren();
    make("strong", box, title);
    make("span", box, text);
    showTable(states, now);
    const last = states[Math.min(now.k, states.length - 1)];
    const done = now.kind === "add" || now.kind === "divide";
    const before = { m: states[0].old.m, l: 0, o: Array(E).fill(0), parts: [] };
    const current = !last ? before : done ? last : now.kind === "rescale" ? { ...last.rescaled, m: last.m } : { ...last.old, m: last.m };
    showPlot(now, states);
    showSum(current);
    showBeside(current, now.kind !== "begin" && (done || now.k > 0), now.kind === "divide");
  }

  function showTable(states, now) {
    const table = at("work");
    table.replaceChildren();
    const head = make("tr", make("thead", table));
    const names = ["block", "largest here", "m", "exp(m_old − m_new)", "ℓ", "o_1", "o_2"];
    const lit = { look: [1, 2], rescale: [3, 4, 5, 6], add: [4, 5, 6], begin: [], divide: [] }[now.kind];
    names.forEach((name, k) => {
      const th = make("th", head, "", { scope: "col", class: `${lit.includes(k) ? "now" : ""}${k === 1 ? " wide" : ""}` });
      name.split(/(_\w+)/).forEach((part) => (part.startsWith("_") ? make("sub", th, part.slice(1)) : th.append(part)));
    });
    const body = make("tbody", table), first = states[0].old;
    const line = (name, cells, row = make("tr", body)) => {
      make("th", row, name, { scope: "row" });
      cells.forEach(([of, x, known, here]) => {
        const td = make("td", row, "", { "data-of": of, class: `${here ? "now" : ""}${of === "here" ? " wide" : ""}` });
        if (x === -Number.MAX_VALUE) make("data", td, "lowest", { value: x });
        else if (known && x !== null) number(td, x);
        else td.textContent = x === null ? "" : "·";
      });
      return row;
    };
    line("begin", [["here", null], ["m", first.m, true, now.kind === "begin"], ["shrink", null], ["l", 0, true], ["o0", 0, true], ["o1", 0, true]]);
    states.forEach((state, k) => {
      const stage = k < now.k ? 3 : k > now.k ? 0 : { look: 1, rescale: 2, add: 3 }[now.kind];
      const sums = stage === 3 ? state : state.rescaled, here = k === now.k;
      const { from, block: { length } } = state;
      const row = line(`${k}: ${length > 1 ? `keys ${from}–${from + length - 1}` : `key ${from}`}`, [
        ["here", state.here, stage > 0, here && stage === 1], ["m", state.m, stage > 0, here && stage === 1],
        ["shrink", state.shrink, stage > 1, here && stage === 2], ["l", sums.l, stage > 1, here && stage > 1],
        ["o0", sums.o[0], stage > 1, here && stage > 1], ["o1", sums.o[1], stage > 1, here && stage > 1],
      ]);
      row.dataset.block = k;
    });
    const end = states.at(-1), output = divided(end.o, end.l), known = now.kind === "divide";
    Play.bring(table);
    line("o / ℓ", [["here", null], ["m", null], ["shrink", null], ["l", null], ["out0", output[0], known, known], ["out1", output[1], known, known]]);
  }

  function showPlot(now, states) {
    const place = at("plot"), n = scores.length, seen = scores.filter((_, j) => !hidden[j]);
    const width = 400, height = 170, foot = 34, top = 18, size = blockSize();
    let low = Math.min(...seen), high = Math.max(...seen);
    if (!seen.length) [low, high] = [0, 1];
    const far = low > 0 && high - low < high / 4; // all large: the bars begin below the smallest, not at 0
    if (!far) [low, high] = [Math.min(low, 0), Math.max(high, 0.5)];
    else low -= 0.3 * (high - low || 1);
    const y = (s) => top + ((height - foot - top) * (high - s)) / (high - low);
    const small = 11 * Math.max(1, width / (place.clientWidth || width)); // on a phone the picture shrinks, not its text
    const step = width / n, zero = y(far ? low : 0);
    place.replaceChildren();
    const image = svg("svg", place, { viewBox: `0 0 ${width} ${height}`, role: "img" });
    const told = scores.map((s, j) => (hidden[j] ? "hidden" : fixed(s, 1))).join(", ");
    image.setAttribute("aria-label", `The scores: ${told}. In blocks of ${size}.`);
    scores.forEach((s, j) => {
      const block = Math.floor(j / size), middle = (j + 0.5) * step;
      const kind = block === now.k ? "bar now" : block < now.k ? "bar seen" : "bar";
      if (!hidden[j]) {
        svg("rect", image, { class: kind, x: j * step + step * 0.15, width: step * 0.7, y: Math.min(y(s), zero), height: Math.max(1, Math.abs(zero - y(s))) });
      }
      const label = hidden[j] ? "−∞" : fixed(s, Math.abs(s) < 100 ? 1 : 0), up = hidden[j] || s >= 0 || far;
      svg("text", image, { x: middle, y: up ? Math.min(hidden[j] ? zero : y(s), zero) - 4 : y(s) + 12, "font-size": small, "text-anchor": "middle" }, label);
      if (j % size === 0) {
        if (j) svg("path", image, { class: "cut", d: `M${j * step} 4V${height - 4}` });
        const wide = Math.min(size, n - j) * step;
        svg("text", image, { x: j * step + wide / 2, y: height - 6, "font-size": small, "text-anchor": "middle", "font-weight": block === now.k ? 700 : 400 },
          wide > 45 ? `block ${block}` : block);
      }
    });
    svg("path", image, { class: "axis", d: `M0 ${zero}H${width}` });
    // The largest so far, over the blocks that have come by.
    const line = states.slice(0, now.k + 1).map(({ from, block, m }) => [from * step, (from + block.length) * step, m]);
    const known = line.filter(([, , m]) => m > -1e308);
    if (!known.length) return;
    const path = known.map(([a, b, m], k) => `${k ? "L" : "M"}${a} ${y(m)}H${b}`).join("");
    svg("path", image, { class: "running", d: path });
    const [a, b, m] = known.at(-1);
    svg("text", image, { class: "told", x: (a + b) / 2, y: y(m) + 14, "font-size": small, "text-anchor": "middle", "font-weight": 700 }, `m = ${fixed(m, 1)}`);
  }

  function showSum({ l, parts }) {
    const place = at("sum"), whole = Math.max(1, plain().l, l || 0);
    // The elements stay, so that a part that shrinks is seen to shrink.
    while (place.children.length > parts.length) place.lastChild.remove();
    while (place.children.length < parts.length) make("i", place).style.width = "0%";
    requestAnimationFrame(() => parts.forEach((part, k) => {
      if (place.children[k]) place.children[k].style.width = `${Number.isNaN(part) ? 0 : (100 * part) / whole}%`;
    }));
    const told = parts.map((part, k) => `block ${k}: ${fixed(part)}`).join(", ");
    at("sum-said").textContent = `ℓ = ${fixed(l)}${told ? ` (${told})` : ""}`;
  }

  function showBeside({ m, l, o }, known, end) {
    const table = at("beside"), whole = plain(), output = divided(o, l);
    table.replaceChildren();
    const head = make("tr", make("thead", table));
    make("td", head);
    make("th", head, end ? "by blocks" : "by blocks, so far", { scope: "col" });
    make("th", head, "all at once", { scope: "col" });
    const body = make("tbody", table);
    const rows = [["largest m", "m", m, whole.m, true], ["sum ℓ", "l", l, whole.l, true],
      ["output 1", "out0", output[0], whole.output[0], known], ["output 2", "out1", output[1], whole.output[1], known]];
    for (const [name, of, mine, other, there] of rows) {
      const row = make("tr", body, "", { "data-row": of });
      make("th", row, name, { scope: "row" });
      const td = make("td", row);
      if (there) number(td, mine);
      else td.textContent = "·";
      number(make("td", row), other);
    }
    const row = make("tr", body, "", { "data-row": "difference" });
    make("th", row, "outputs differ by", { scope: "row" });
    const difference = output.map((x, e) => Math.abs(x - whole.output[e])).reduce((a, b) => (a > b || Number.isNaN(a) ? a : b));
    const td = make("td", row, "", { colspan: 2 });
    if (end) make("data", td, difference === 0 ? "0" : Number.isNaN(difference) ? "NaN" : difference.toExponential(1).replace("e-", "e−"), { value: difference });
    else td.textContent = "·";
  }

  function showInputs() {
    const table = at("inputs");
    table.replaceChildren();
    const head = make("tr", make("thead", table));
    for (const name of ["key", "score", "hidden", "value 1", "value 2"]) make("th", head, name, { scope: "col" });
    const body = make("tbody", table);
    scores.forEach((s, j) => {
      const row = make("tr", body);
      make("th", row, j, { scope: "row" });
      Play.field(make("td", row), s, 10000, `score ${j}`, (x) => { scores[j] = x; walk.again(); });
      const box = make("input", make("td", row), "", { type: "checkbox", "aria-label": `key ${j} hidden`, autocomplete: "off" });
      box.checked = hidden[j];
      box.addEventListener("change", () => { hidden[j] = box.checked; walk.again(); });
      values[j].forEach((v, e) => {
        Play.field(make("td", row), v, 100, `value ${j}, number ${e + 1}`, (x) => { values[j][e] = x; walk.again(); });
      });
    });
  }

  function fill(select, from, to, wanted) {
    select.replaceChildren();
    for (let k = from; k <= to; k++) make("option", select, k, { value: k });
    select.value = Math.min(to, wanted);
  }

  function anew(n) {
    fill(at("block"), 1, n, blockSize() || 3);
    draw(n);
    showInputs();
  }

  for (const id of ["seed", "n"]) at(id).addEventListener("input", () => { anew(Number(at("n").value)); walk.again(); });
  for (const id of ["block", "begin"]) at(id).addEventListener("input", () => walk.go(0));
  at("draw").addEventListener("click", () => {
    Play.nextSeed();
    anew(Number(at("n").value));
    walk.go(0);
  });
  Play.tries(root, at("walk"), ({ scores: wanted, block, begin = "lowest" }) => {
    at("n").value = wanted.length;
    anew(wanted.length);
    hidden = wanted.map((s) => s === null);
    scores = wanted.map((s) => s ?? 0);
    at("block").value = block;
    at("begin").value = begin;
    showInputs();
    walk.stop();
    walk.go(0);
  });
  addEventListener("resize", () => walk.again());
  fill(at("n"), 1, MOST, 9);
  anew(9);
  root.hidden = false; // before the first drawing, which asks for its width
  const walk = Play.walk(at("walk"), () => steps().length, show);
}
