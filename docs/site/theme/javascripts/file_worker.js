// Lets search work on a page that was opened from disk. Browsers start no worker from a file:// address, so its script
// runs in a hidden frame instead. The theme's own way fetches a script from a server at each view.
"use strict";
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      this.inside = this.frame.contentWindow;
      // What a worker posts goes to its page. Messages are copies and arrive later, since either side changes what it
      // holds, and posts again while it handles one.
      this.inside.postMessage = (data) => {
        const event = new MessageEvent("message", { data: structuredClone(data) });
        setTimeout(() => {
          this.dispatchEvent(event);
          this.onmessage?.(event);
        });
      };
      const script = this.frame.contentDocument.createElement("script");
      script.src = new URL(address, location.href).href;
      this.loaded = new Promise((done) => (script.onload = done));
      script.onerror = (event) => this.onerror?.(event);
      this.frame.contentDocument.head.append(script);
    }
    postMessage(data) {
      const event = new this.inside.MessageEvent("message", { data: structuredClone(data) });
      this.loaded.then(() => setTimeout(() => this.inside.dispatchEvent(event)));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
