/* What scrolls sideways can be reached and scrolled by keyboard: wide tables, long equations, broad figures. */
(() => {
  const mark = () => {
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .equation, .figure")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", mark);
  addEventListener("resize", mark);
  document.addEventListener("toggle", mark, true); // folded parts have no width before they are opened
})();
