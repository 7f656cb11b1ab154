"use strict";
// What the pages of docs/play share: elements, numbers, a softmax, and the stepping through a walk.
const Play = (() => {
  const at = (id) => document.getElementById(id);

  // An element with a text and attributes, put at the end of its parent.
  function make(tag, parent, text = "", attributes = {}) {
    const element = document.createElement(tag);
    return finish(element, parent, text, attributes);
  }

  function svg(tag, parent, attributes = {}, text = "") {
    return finish(document.createElementNS("http://www.w3.org/2000/svg", tag), parent, text, attributes);
  }

  function finish(element, parent, text, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== "") element.textContent = text;
    parent?.append(element);
    return element;
  }

  // How a number is shown: a minus as it is printed, and no minus before zero.
  function fixed(x, digits = 3) {
    if (Number.isNaN(x)) return "NaN";
    if (Math.abs(x) === Infinity) return x < 0 ? "−∞" : "∞";
    const text = Math.abs(x) < 1e6 ? x.toFixed(digits) : x.toExponential(2);
    return (Number(text) === 0 ? text.replace("-", "") : text.replace(/^-/, "−").replace("e+", "e"));
  }

  // A number that is shown rounded and keeps its exact value.
  const number = (parent, x, digits) => make("data", parent, fixed(x, digits), { value: String(x) });

  const sum = (xs) => xs.reduce((total, x) => total + x, 0);
  const dot = (a, b) => sum(a.map((x, k) => x * b[k]));

  // The softmax over the allowed entries; all zeros where there is none. It subtracts the largest, so none overflows.
  function softmax(scores, allowed = scores.map(() => true)) {
    const largest = Math.max(...scores.filter((_, j) => allowed[j]));
    const powers = scores.map((s, j) => (allowed[j] && s !== -Infinity ? Math.exp(s - largest) : 0));
    const total = sum(powers);
    return powers.map((p) => (total > 0 ? p / total : 0));
  }

  // Of the weights, in nats: 0 if one key has all, the logarithm of their number if all have the same.
  const entropy = (weights) => sum(weights.map((w) => (w > 0 ? -w * Math.log(w) : 0)));

  // Numbers as if from a standard normal distribution, the same for the same seed. The uniform ones come from the
  // generator of Park & Miller 1988 with their later multiplier, the normal ones by Box & Muller 1958.
  function normals(from) {
    let x = (from * 7919 + 12345) % 2147483646 + 1;
    const uniform = () => (x = (x * 48271) % 2147483647) / 2147483647;
    for (let k = 0; k < 5; k++) uniform(); // neighbouring seeds begin alike
    return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  // One digit after the point, so that what is shown is all there is.
  const rounded = (x) => Math.round(x * 10) / 10 + 0;

  // Beside each slider its value; screen readers have it from the slider itself.
  function showRanges(root) {
    for (const range of root.querySelectorAll('input[type="range"]:not([data-bare])')) {
      range.shown ??= finish(document.createElement("span"), null, "", { "aria-hidden": "true", class: "play-shown" });
      if (!range.shown.parentNode) range.after(range.shown);
      range.shown.textContent = range.value;
    }
  }

  // A field for one number. What cannot be read, or lies outside, is marked and changes nothing.
  function field(parent, x, limit, name, onChange) {
    const input = make("input", parent, "", {
      type: "number", step: "0.1", min: -limit, max: limit, "aria-label": name, autocomplete: "off", value: x,
    });
    let good = x;
    input.addEventListener("input", () => {
      const read = input.valueAsNumber, fits = Math.abs(read) <= limit;
      if (!fits) return input.setAttribute("aria-invalid", "true");
      input.removeAttribute("aria-invalid");
      good = read;
      return onChange(read);
    });
    input.addEventListener("change", () => {
      if (input.hasAttribute("aria-invalid")) input.value = good;
      input.removeAttribute("aria-invalid");
    });
    return input;
  }

  // The seed in its field. While that holds none, or one outside its limits, it is marked and the last good one stays.
  function seed() {
    const input = at("seed"), fits = input.value !== "" && input.validity.valid;
    if (fits) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
    if (fits) input.good = input.valueAsNumber;
    return (input.good ??= Number(input.defaultValue));
  }

  function nextSeed() {
    at("seed").value = (seed() + 1) % (Number(at("seed").max) + 1);
  }

  // Scrolls a wide table sideways, so that the column that the walk is at can be seen.
  function bring(table) {
    const now = table.querySelector(".now:not(:first-child)"), frame = table.parentElement;
    frame.scrollLeft = now ? now.offsetLeft + now.offsetWidth / 2 - frame.clientWidth / 2 : 0;
  }

  // Buttons with data-try, a JSON of settings: applied, brought into view, and the keyboard is at the right place.
  function tries(root, focused, apply) {
    for (const button of document.querySelectorAll("button[data-try]")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        apply(JSON.parse(button.dataset.try));
        const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
        root.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
        focused.focus({ preventScroll: true });
      });
    }
  }

  function setControl(id, value) {
    const control = at(id);
    if (control.type === "checkbox") control.checked = value;
    else control.value = value;
  }

  // A walk of `count()` steps, shown by `show(step)`. In root: buttons .back, .next, .run and a slider .place.
  function walk(root, count, show) {
    const part = (name) => root.querySelector(`.${name}`);
    let step = 0, timer = 0;
    function go(to) {
      const last = count() - 1;
      step = Math.max(0, Math.min(last, to));
      Object.assign(part("place"), { max: last, value: step });
      part("place").setAttribute("aria-valuetext", `step ${step} of ${last}`);
      // Not disabled: a button that the keyboard is on would lose it.
      part("back").setAttribute("aria-disabled", step === 0);
      part("next").setAttribute("aria-disabled", step === last);
      part("count").textContent = `${step} / ${last}`;
      if (step === last) stop();
      show(step);
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      part("run").textContent = "Play";
    }
    function run() {
      if (timer) return stop();
      go(step === count() - 1 ? 0 : step + 1);
      if (step === count() - 1) return undefined;
      timer = setInterval(() => go(step + 1), Number(root.dataset.pace ?? 1400));
      part("run").textContent = "Pause";
      return undefined;
    }
    const by = { ArrowLeft: () => step - 1, ArrowRight: () => step + 1, Home: () => 0, End: () => count() - 1 };
    part("back").addEventListener("click", () => { stop(); go(step - 1); });
    part("next").addEventListener("click", () => { stop(); go(step + 1); });
    part("run").addEventListener("click", run);
    part("place").addEventListener("input", () => { stop(); go(Number(part("place").value)); });
    root.addEventListener("keydown", (event) => {
      if (!(event.key in by) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
      if (event.target.matches(".play-scroll")) return; // there they scroll a wide table
      event.preventDefault();
      stop();
      go(by[event.key]());
    });
    go(0);
    return { go, stop, again: () => go(step), step: () => step };
  }

  return {
    at, make, svg, fixed, number, sum, dot, softmax, entropy, normals, rounded, showRanges, field, seed, nextSeed, bring, tries, setControl, walk,
  };
})();
