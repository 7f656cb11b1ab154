"use strict";
{
  const { at, make, svg, fixed, number, sum, dot, softmax, entropy } = Play;
  const root = at("play"), E = 2; // values are two numbers wide: points in a picture
  let query, keys, values;

  const chosen = () => ({
    d: Number(at("d").value), n: Number(at("n").value), position: Number(at("position").value),
    scale: at("scale").checked, causal: at("causal").checked,
  });

  function draw() {
    const { d, n } = chosen(), normal = Play.normals(Play.seed());
    const vector = (width) => Array.from({ length: width }, () => Play.rounded(normal()));
    query = vector(d);
    keys = Array.from({ length: n }, () => vector(d));
    values = Array.from({ length: n }, () => vector(E));
  }

  // Everything that the walk shows, for the vectors as they are.
  function compute() {
    const { d, n, position, scale, causal } = chosen();
    const scores = keys.map((key) => dot(query, key));
    const scaled = scores.map((s) => (scale ? s / Math.sqrt(d) : s));
    const allowed = keys.map((_, j) => !causal || j <= position);
    const masked = scaled.map((s, j) => (allowed[j] ? s : -Infinity));
    const largest = Math.max(...masked);
    const powers = masked.map((s) => Math.exp(s - largest));
    const weights = softmax(scaled, allowed);
    const parts = values.map((value, j) => value.map((v) => weights[j] * v));
    // The output after each key has been added.
    const sums = parts.map((_, j) => [...Array(E).keys()].map((e) => sum(parts.slice(0, j + 1).map((part) => part[e]))));
    return { d, n, position, scores, scaled, allowed, masked, largest, powers, total: sum(powers), weights, parts, sums };
  }

  // The steps: the vectors, a score a step, the scale, the mask, exponentials, weights, a part of the output a step.
  function steps() {
    const { n } = chosen(), each = (kind) => Array.from({ length: n }, (_, j) => ({ kind, j }));
    return [{ kind: "start" }, ...each("score"), { kind: "scale" }, { kind: "mask" }, { kind: "exp" }, { kind: "weight" }, ...each("sum")];
  }

  const plus = (terms) => terms.join(" + ");
  const term = (x) => (x < 0 ? `(${fixed(x, 1)})` : fixed(x, 1));
  const vector = (xs, digits) => `(${xs.map((x) => fixed(x, digits)).join(", ")})`;

  function words({ kind, j }, c) {
    const { scale, causal } = chosen();
    const seen = c.allowed.filter(Boolean).length;
    switch (kind) {
      case "start":
        return ["The question", `Query ${c.position} is q = ${vector(query, 1)}. It will be compared with ${c.n} key${c.n > 1 ? "s" : ""} of ${c.d} number${c.d > 1 ? "s" : ""} each.`];
      case "score":
        return [`Score of key ${j}: q · k`, `${plus(query.map((q, k) => `${term(q)}·${term(keys[j][k])}`))} = ${fixed(c.scores[j])}`];
      case "scale":
        return ["Divide by √d", scale
          ? `Each score by √${c.d} = ${fixed(Math.sqrt(c.d))}. A sum of ${c.d} products spreads like √${c.d}; now it spreads like one.`
          : "Switched off: the scores stay as they are."];
      case "mask":
        return ["Mask", causal
          ? `Query ${c.position} sees keys 0 to ${c.position}. ` + (seen < c.n ? `The score${c.n - seen > 1 ? "s" : ""} of the other ${c.n - seen} become${c.n - seen > 1 ? "" : "s"} −∞.` : "There are no others, so nothing is hidden.")
          : "Switched off: every key is seen."];
      case "exp":
        return ["Softmax 1: exponentials", `The largest score is m = ${fixed(c.largest)}. Each score becomes exp(s − m): 1 for the largest, 0 for a hidden one. Their sum is ${fixed(c.total)}.`];
      case "weight":
        return ["Softmax 2: divide by the sum", `Each of them by ${fixed(c.total)}. Now they are weights: none below 0, together 1.`];
      default: {
        const so = j === c.n - 1 ? "That is the output, o =" : "So far:";
        return [`Weighted sum: value ${j}`, `${fixed(c.weights[j])} · ${vector(values[j], 1)} = ${vector(c.parts[j])}. ${so} ${vector(c.sums[j])}.`];
      }
    }
  }

  const ORDER = ["start", "score", "scale", "mask", "exp", "weight", "sum"];
  function show(step) {
    const c = compute(), now = steps()[step], reached = ORDER.indexOf(now.kind);
    const [title, text] = words(now, c);
    const box = at("step");
    box.replaceChildren();
    make("strong", box, title);
    make("span", box, text);
    const done = (kind, j) => ORDER.indexOf(kind) < reached || (now.kind === kind && (now.j === undefined || j <= now.j));
    const table = at("work");
    table.replaceChildren();
    const columns = [
      ["score", "q\u00a0·\u00a0k", (j) => c.scores[j]], ["scale", "÷\u00a0√d", (j) => c.scaled[j]], ["mask", "masked", (j) => c.masked[j]],
      ["exp", "exp (s\u00a0−\u00a0m)", (j) => c.powers[j]], ["weight", "weight", (j) => c.weights[j]],
    ];
    const head = make("tr", make("thead", table));
    make("th", head, "key", { scope: "col" });
    for (const [kind, name] of columns) make("th", head, name, { scope: "col", class: kind === now.kind ? "now" : "" });
    make("td", head);
    for (let e = 0; e < E; e++) make("th", head, `w\u00a0·\u00a0v${"₁₂"[e]}`, { scope: "col", class: now.kind === "sum" ? "now" : "" });
    const body = make("tbody", table);
    for (let j = 0; j < c.n; j++) {
      const here = now.j === j;
      const row = make("tr", body, "", { class: c.allowed[j] || !done("mask", j) ? "" : "gone" });
      make("th", row, `${j}${j === c.position ? " (q)" : ""}`, { scope: "row", class: here ? "now" : "" });
      for (const [kind, , numberOf] of columns) {
        cell(row, numberOf(j), done(kind, j), kind === now.kind && (now.j === undefined || here), kind);
      }
      const bar = make("div", make("td", row, "", { "aria-hidden": "true" }), "", { class: "play-bar" });
      make("i", bar).style.width = `${done("weight", j) ? 100 * c.weights[j] : 0}%`;
      for (let e = 0; e < E; e++) cell(row, c.parts[j][e], done("sum", j), now.kind === "sum" && here, `part${e}`);
    }
    const foot = make("tr", make("tfoot", table));
    make("th", foot, "sum", { scope: "row" });
    for (const [kind] of columns) {
      if (kind === "exp") cell(foot, c.total, done("exp"), now.kind === kind, "total");
      else if (kind === "weight") cell(foot, sum(c.weights), done("weight"), now.kind === kind, "one");
      else make("td", foot);
    }
    make("td", foot);
    const added = now.kind === "sum" ? now.j : 0;
    for (let e = 0; e < E; e++) cell(foot, c.sums[added][e], now.kind === "sum", now.kind === "sum", `output${e}`);
    Play.bring(table);
    showPeak(c, done("weight"));
    showPlot(c, done("weight"), now.kind === "sum" ? c.sums[now.j] : null, now.kind === "sum" && now.j === c.n - 1);
  }

  function cell(row, x, known, now, kind) {
    const td = make("td", row, "", { "data-of": kind, class: now ? "now" : "" });
    if (known) number(td, x);
    else td.textContent = "·";
  }

  function showPeak(c, known) {
    const place = at("peak"), seen = c.allowed.filter(Boolean).length;
    place.replaceChildren();
    if (!known) return place.append("The weights come at the step “divide by the sum”.");
    const divided = c.scores.map((s) => s / Math.sqrt(c.d));
    const says = (what, weights) => {
      const line = make("span", place, `${what}: largest weight `);
      number(line, Math.max(...weights));
      line.append(", entropy ");
      number(line, entropy(weights));
      line.append(" nats.");
      make("br", place);
    };
    says("Divided by √d", softmax(divided, c.allowed));
    says("Not divided", softmax(c.scores, c.allowed));
    place.append(`An entropy of 0 is all weight on one key; the most for ${seen} key${seen > 1 ? "s" : ""} is ln ${seen} = ${fixed(Math.log(seen))}, the same weight for each.`);
    return undefined;
  }

  // Values as points in the plane, as large as their weights; the output, when it is there.
  function showPlot(c, weighted, output, whole) {
    const place = at("plot"), points = values.concat([[0, 0]]);
    const reach = Math.max(1, ...points.flat().map(Math.abs), ...c.sums.flat().map(Math.abs)) * 1.2, side = 200;
    const x = (v) => (side / 2) * (1 + v / reach), y = (v) => (side / 2) * (1 - v / reach);
    place.replaceChildren();
    const said = values.map((v, j) => `value ${j} ${vector(v, 1)}`).join(", ");
    const image = svg("svg", place, {
      viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": `Points in a plane: ${said}${output ? `; the output so far ${vector(output)}` : ""}.`,
    });
    svg("path", image, { class: "axis", d: `M0 ${side / 2}H${side}M${side / 2} 0V${side}` });
    values.forEach((v, j) => {
      const none = weighted && c.weights[j] === 0;
      const r = weighted ? 3 + 14 * Math.sqrt(c.weights[j]) : 6;
      svg("circle", image, { class: none ? "point none" : "point", cx: x(v[0]), cy: y(v[1]), r: none ? 5 : r });
      svg("text", image, { x: x(v[0]) + r + 2, y: y(v[1]) + 4, "font-size": 11 }, `v${"₀₁₂₃₄₅"[j]}`);
    });
    if (output) {
      svg("path", image, { class: "axis", d: `M${side / 2} ${side / 2}L${x(output[0])} ${y(output[1])}` });
      svg("circle", image, { class: "output", cx: x(output[0]), cy: y(output[1]), r: 6 });
      svg("text", image, { x: x(output[0]) + 9, y: y(output[1]) - 6, "font-size": 12, "font-weight": 700 }, whole ? "o" : "so far");
    }
  }

  function showInputs() {
    const table = at("inputs"), { d } = chosen();
    table.replaceChildren();
    const head = make("tr", make("thead", table));
    make("td", head);
    make("th", head, `${d} number${d > 1 ? "s" : ""} of the query and the keys`, { colspan: d, scope: "colgroup" });
    make("th", head, "value", { colspan: E, scope: "colgroup" });
    const body = make("tbody", table);
    const fields = (row, name, xs) => xs.forEach((x, k) => {
      Play.field(make("td", row), x, 100, `${name}, number ${k + 1}`, (read) => { xs[k] = read; walk.again(); });
    });
    const row = make("tr", body);
    make("th", row, "q", { scope: "row" });
    fields(row, "query", query);
    keys.forEach((key, j) => {
      const line = make("tr", body);
      make("th", line, `k${"₀₁₂₃₄₅"[j]}, v${"₀₁₂₃₄₅"[j]}`, { scope: "row" });
      fields(line, `key ${j}`, key);
      fields(line, `value ${j}`, values[j]);
    });
  }

  function fillPositions() {
    const { n } = chosen(), select = at("position"), before = select.options.length ? Number(select.value) : 3;
    select.replaceChildren();
    for (let i = 0; i < n; i++) make("option", select, i, { value: i });
    select.value = Math.min(before, n - 1);
  }

  function anew() {
    fillPositions();
    draw();
    showInputs();
  }

  for (const id of ["seed", "d", "n"]) {
    at(id).addEventListener("input", () => { anew(); walk.again(); });
  }
  for (const id of ["scale", "causal", "position"]) at(id).addEventListener("input", () => walk.again());
  at("draw").addEventListener("click", () => {
    Play.nextSeed();
    anew();
    walk.again();
  });
  Play.tries(root, at("walk"), ({ step, query: all, shift, position, ...controls }) => {
    for (const [id, value] of Object.entries(controls)) Play.setControl(id, value);
    anew();
    if (position !== undefined) at("position").value = position;
    if (all !== undefined) query.fill(all);
    if (shift !== undefined) keys.forEach((key) => { key[0] = Play.rounded(key[0] + shift); });
    showInputs();
    walk.stop();
    walk.go(step === "end" ? Infinity : steps().findIndex(({ kind }) => kind === step));
  });
  anew();
  const walk = Play.walk(at("walk"), () => steps().length, show);
  root.hidden = false;
}
