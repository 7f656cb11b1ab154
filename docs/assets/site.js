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

/* A long command is wrapped (site.css), but not inside a word: attn-lab, .venv/bin/pip. */
addEventListener("load", () => {
  for (const code of document.querySelectorAll(".md-typeset :is(.language-sh, .language-bash, .language-bat) pre > code")) {
    const words = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), found = [];
    while (words.nextNode()) if (/\S[-/\\]/.test(words.currentNode.data)) found.push(words.currentNode);
    for (const node of found) {
      const parts = node.data.split(/(\s+)/).map((part) => {
        if (!/\S/.test(part)) return part;
        const word = document.createElement("span");
        word.className = "word";
        word.textContent = part;
        return word;
      });
      node.replaceWith(...parts);
    }
  }
});
