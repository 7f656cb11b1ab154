/* Search in pages that are opened from a folder: browsers refuse a Worker there, so a hidden frame runs its script. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      this.frame.tabIndex = -1;
      this.frame.srcdoc = `<!doctype html><script src="${url}"></script>`;
      this.frame.addEventListener("load", () => this.start(), { once: true });
      document.body.append(this.frame);
    }

    start() {
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.deliver = (data) => inside.dispatchEvent(new inside.MessageEvent("message", { data }));
      this.waiting.forEach(this.deliver);
    }

    postMessage(data) {
      if (this.deliver) this.deliver(data);
      else this.waiting.push(data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
