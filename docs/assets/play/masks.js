"use strict";
{
  const { at, make, svg, number } = Play;
  const root = at("play"), matrix = at("matrix");
  const KINDS = [["kept", "kept"], ["future", "in the future"], ["far", "outside the window"], ["padding", "padding"]];
  const WHO = { future: "the causal mask", far: "the sliding window", padding: "the padding mask" };
  let cursor = [0, 0];

  function read() {
    const value = (id) => Number(at(id).value), on = (id) => at(id).checked;
    return {
      n: value("n"), causal: on("causal"), windowed: on("windowed"), window: value("window"), prefixed: on("prefixed"),
      prefix: value("prefix"), padded: on("padded"), real: value("real"), d: value("d"), block: value("block"),
    };
  }

  // Which masks would hide key j from query i; a prefix speaks for its keys against the first two, not against padding.
  function against(s, i, j) {
    const near = [];
    if (s.causal && j > i) near.push("future");
    if (s.windowed && Math.abs(i - j) >= s.window) near.push("far");
    const opened = s.prefixed && j < s.prefix;
    const padding = s.padded && j >= s.real ? ["padding"] : [];
    return { near, opened, hidden: [...(opened ? [] : near), ...padding] };
  }

  function table(s) {
    const places = [...Array(s.n).keys()];
    return places.map((i) => places.map((j) => against(s, i, j).hidden[0] ?? "kept"));
  }

  // The mask as an expression, a term for each switch; `prefix` says how the prefix's keys are written. Shorter where
  // it is causal and has a window: then one call makes both.
  function expression(s, prefix, shorter = false) {
    const near = [];
    if (s.causal && !shorter) near.push(`masks.causal(${s.n})`);
    if (s.windowed) near.push(`masks.sliding_window(${s.n}, ${s.window}${shorter ? "" : ", causal=False"})`);
    let text = near.join(" & ");
    if (s.prefixed && text) text = `${near.length > 1 ? `(${text})` : text} | ${prefix}`;
    if (!s.padded) return text || "None";
    const padding = `masks.padding([${s.real}], ${s.n})`;
    if (!text) return padding;
    return `${text.includes("|") ? `(${text})` : text} & ${padding}`;
  }

  function drawCode(s) {
    const byLength = `masks.padding([${s.prefix}], ${s.n})`, opens = s.prefixed && (s.causal || s.windowed);
    at("code").textContent = `from attn_lab import masks\n\nmask = ${expression(s, byLength)}`;
    at("copied").textContent = "";
    const same = at("same");
    same.replaceChildren();
    const add = (why, code) => { make("p", same, why, { class: "play-note" }); make("pre", same, code); };
    if (s.prefixed && !opens) {
      make("p", same, "The prefix is not in it: nothing is hidden that it could open.", { class: "play-note" });
    }
    if (opens) {
      add(`There is no function for a prefix. Its keys are the first ${s.prefix}, and those are what padding lets through, ` +
        "so it is written with | (or). The same with torch alone:",
        `mask = ${expression(s, `(torch.arange(${s.n}) < ${s.prefix})`)}`);
    }
    if (s.causal && s.windowed) {
      add("A window is causal by itself unless told otherwise. The same, shorter:",
        `mask = ${expression(s, byLength, true)}`);
    }
    const some = s.causal || s.windowed || s.padded;
    const shape = !some ? "" : s.padded || opens ? `(b 1 n n) with b = 1, n = ${s.n}` : `(n n) with n = ${s.n}`;
    const alone = s.padded && !s.causal && !s.windowed ? `(b 1 1 n) with b = 1, n = ${s.n}: a row for all queries` : shape;
    at("shape").textContent = some ? `Its shape: ${alone}. True means may attend.` : "None: no mask, every query sees every key.";
  }

  const square = (x, y, w = 1, h = 1) => `M${x} ${y}h${w}v${h}h${-w}z`;
  let cells, mark;
  function drawMatrix(s) {
    matrix.replaceChildren();
    const { n } = s, kinds = table(s), rim = 1.3 * (n / 24 + 0.5);
    const image = svg("svg", matrix, { viewBox: `${-rim} ${-rim} ${n + rim + 0.1} ${n + rim + 0.1}`, "aria-hidden": "true" });
    const size = (n + rim) / 26;
    const paths = { kept: "", future: "", far: "", padding: "" };
    let far = "", padding = "";
    kinds.forEach((row, i) => row.forEach((kind, j) => {
      paths[kind] += square(j, i);
      if (kind === "far") far += `M${j + 0.1} ${i + 0.9}l.8 -.8`;
      if (kind === "padding") padding += `M${j + 0.1} ${i + 0.1}l.8 .8`;
    }));
    cells = svg("g", image);
    for (const [kind, d] of Object.entries(paths)) svg("path", cells, { class: kind, d });
    svg("path", image, { class: "hatch", d: far + padding });
    let grid = "";
    for (let k = 0; k <= n; k++) grid += `M0 ${k}H${n}M${k} 0V${n}`;
    svg("path", image, { class: "grid", d: grid, "stroke-width": 0.06 });
    const skipped = tiles(s, kinds).filter((tile) => !tile.computed);
    svg("path", image, { class: "skipped", d: skipped.map(({ y, x, h, w }) => square(x, y, w, h)).join("") });
    if (s.block > 1 && s.block < n) {
      let lines = "";
      for (let k = s.block; k < n; k += s.block) lines += `M0 ${k}H${n}M${k} 0V${n}`;
      svg("path", image, { class: "tiles", d: lines, "stroke-width": size * 0.06 });
    }
    const step = Math.ceil(n / 12);
    for (let k = 0; k < n; k += step) {
      svg("text", image, { x: k + 0.5, y: -0.3 * size, "font-size": size, "text-anchor": "middle" }, k);
      svg("text", image, { x: -0.4 * size, y: k + 0.5 + size * 0.35, "font-size": size, "text-anchor": "end" }, k);
    }
    mark = svg("rect", image, { class: "cursor", width: 1, height: 1 });
    place(s, Math.min(cursor[0], n - 1), Math.min(cursor[1], n - 1));
  }

  // The blocks of the matrix, cut at its edge, and whether any of their pairs is kept.
  function tiles(s, kinds) {
    const found = [];
    for (let y = 0; y < s.n; y += s.block) {
      for (let x = 0; x < s.n; x += s.block) {
        const h = Math.min(s.block, s.n - y), w = Math.min(s.block, s.n - x);
        const computed = kinds.slice(y, y + h).some((row) => row.slice(x, x + w).includes("kept"));
        found.push({ y, x, h, w, computed });
      }
    }
    return found;
  }

  function place(s, i, j) {
    cursor = [i, j];
    mark.setAttribute("x", j);
    mark.setAttribute("y", i);
    at("cell").textContent = verdict(s, i, j);
  }

  function verdict(s, i, j) {
    const { near, opened, hidden } = against(s, i, j);
    const why = {
      future: `key ${j} is in the future of query ${i}`,
      far: `they are ${Math.abs(i - j)} apart, and less than ${s.window} is allowed`,
      padding: `key ${j} is padding: ${s.real === 0 ? "no key is real" : `keys 0 to ${s.real - 1} are real`}`,
    };
    if (hidden.length) {
      const who = hidden.map((kind) => `${WHO[kind]} (${why[kind]})`).join(" and by ");
      return `Query ${i} may not attend to key ${j}. Forbidden by ${who}.`;
    }
    const but = opened && near.length ? ` It is in the prefix, which all see; ${near.map((k) => WHO[k]).join(" and ")} would forbid it.` : "";
    return `Query ${i} may attend to key ${j}.${but}`;
  }

  const count = (k) => k.toLocaleString("en-GB");
  const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)}\u00a0%`;

  function drawCost(s) {
    const kinds = table(s), all = s.n * s.n;
    const kept = kinds.flat().filter((kind) => kind === "kept").length;
    const empty = kinds.flatMap((row, i) => (row.includes("kept") ? [] : [i]));
    const blocks = tiles(s, kinds), computed = blocks.filter((tile) => tile.computed);
    const inBlocks = Play.sum(computed.map((tile) => tile.h * tile.w));
    const share = at("share");
    share.replaceChildren();
    make("strong", share, `${count(kept)} of ${count(all)} pairs kept, ${percent(kept, all)}.`);
    if (empty.length) {
      const who = empty.length === 1 ? `Query ${empty[0]} sees` : `${empty.length} queries (${spans(empty)}) see`;
      share.append(` ${who} no key: attention gives zeros there.`);
    }
    const target = at("cost");
    target.replaceChildren();
    const head = make("tr", make("thead", target));
    for (const name of ["", "pairs", "multiply-adds, 2 d a pair", "of n²"]) make(name ? "th" : "td", head, name, name ? { scope: "col" } : {});
    const body = make("tbody", target);
    const rows = [
      ["dense", "all pairs, then the mask", all],
      ["blocked", `${computed.length} of ${blocks.length} blocks of ${s.block} × ${s.block}`, inBlocks],
      ["kept", "the kept pairs alone", kept],
    ];
    for (const [name, what, pairs] of rows) {
      const row = make("tr", body, "", { id: `cost-${name}`, class: "wrap" });
      make("th", row, what, { scope: "row" });
      make("data", make("td", row), count(pairs), { value: pairs });
      make("data", make("td", row), count(2 * s.d * pairs), { value: 2 * s.d * pairs });
      make("data", make("td", row), percent(pairs, all), { value: pairs / all });
    }
    at("saving").textContent = kept === all
      ? "Nothing is hidden, so nothing can be saved."
      : `Computing all pairs and hiding some saves nothing of ${count(2 * s.d * all)} multiply-adds. Leaving out blocks of ${s.block} × ${s.block} ` +
        (inBlocks === all ? "saves nothing either: in every block some pair is kept."
          : `could save ${percent(all - inBlocks, all)}; no form that computes every kept pair can save more than ${percent(all - kept, all)}.`);
  }

  // 3, 4, 5, 9 as "3–5, 9".
  function spans(numbers) {
    const runs = [];
    for (const k of numbers) {
      if (runs.length && runs.at(-1)[1] === k - 1) runs.at(-1)[1] = k;
      else runs.push([k, k]);
    }
    return runs.map(([a, b]) => (a === b ? a : `${a}–${b}`)).join(", ");
  }

  function drawLegend() {
    for (const [kind, name] of KINDS) {
      const item = make("span", at("legend"), "", { class: "play-matrix" });
      const image = svg("svg", item, { viewBox: "0 0 1 1", "aria-hidden": "true" });
      svg("path", image, { class: kind, d: square(0, 0) });
      if (kind === "far") svg("path", image, { class: "hatch", d: "M.1 .9l.8 -.8" });
      if (kind === "padding") svg("path", image, { class: "hatch", d: "M.1 .1l.8 .8" });
      item.append(name);
    }
  }

  function update() {
    const n = Number(at("n").value);
    for (const id of ["window", "prefix", "real"]) at(id).max = n; // the browser brings the value down with it
    at("block").max = Math.min(32, n);
    for (const [box, range] of [["windowed", "window"], ["prefixed", "prefix"], ["padded", "real"]]) {
      at(range).disabled = !at(box).checked;
    }
    Play.showRanges(root);
    const s = read();
    drawCode(s);
    drawMatrix(s);
    drawCost(s);
  }

  matrix.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const s = read(), inside = (k) => Math.max(0, Math.min(s.n - 1, k));
    let [i, j] = cursor;
    if (event.key in moves) [i, j] = [i + moves[event.key][0], j + moves[event.key][1]];
    else if (event.key === "Home") j = 0;
    else if (event.key === "End") j = s.n - 1;
    else if (event.key === "PageUp") i = 0;
    else if (event.key === "PageDown") i = s.n - 1;
    else return;
    event.preventDefault();
    place(s, inside(i), inside(j));
  });
  function point(event) {
    const box = cells.getBoundingClientRect(), s = read(); // the group of cells: without the rim
    const i = Math.floor(((event.clientY - box.top) / box.height) * s.n);
    const j = Math.floor(((event.clientX - box.left) / box.width) * s.n);
    if (i >= 0 && j >= 0 && i < s.n && j < s.n && (i !== cursor[0] || j !== cursor[1])) place(s, i, j);
  }
  matrix.addEventListener("pointermove", point);
  matrix.addEventListener("pointerdown", point);

  at("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(at("code").textContent);
      at("copied").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(at("code"));
      at("copied").textContent = "Selected: copy it with Ctrl+C or ⌘C.";
    }
  });

  root.addEventListener("input", update);
  Play.tries(root, matrix, (wanted) => {
    if ("n" in wanted) Play.setControl("n", wanted.n);
    for (const id of ["window", "prefix", "real", "block"]) at(id).max = wanted.n; // before a value that needs the room
    for (const [id, value] of Object.entries(wanted)) Play.setControl(id, value);
    update();
  });
  drawLegend();
  root.hidden = false;
  update();
}
