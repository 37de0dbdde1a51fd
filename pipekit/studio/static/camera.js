// The camera: one frame at a time goes to `take`. It stops when the page is left or hidden.

import { el } from "./common.js";

const PAUSE_MS = 150;
const LONGER_SIDE_PX = 640;

export class Camera {
  constructor(changed) {
    this.changed = changed;
    this.stream = null;
    addEventListener("pagehide", () => this.stop());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.stop(); });
  }

  get running() { return this.stream !== null; }

  async start(place, take) {
    if (!window.isSecureContext || !navigator.mediaDevices) {
      throw new Error("A browser gives a page the camera only in a secure context: open the page as http://127.0.0.1 (with ssh -L, if the studio runs on another machine).");
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
    } catch (error) {
      throw new Error(error.name === "NotAllowedError" ? "The browser did not allow the camera. Its settings for this page can." : "There is no camera that the browser can open.");
    }
    this.stop();
    this.stream = stream;
    const video = el("video", { muted: true, playsInline: true, "aria-label": "What the camera sees" });
    video.srcObject = stream;
    place.replaceChildren(video);
    await video.play();
    this.changed(true);
    this.watch(video, stream, take);
  }

  async watch(video, stream, take) {
    const canvas = document.createElement("canvas");
    while (this.stream === stream) {
      const scale = Math.min(1, LONGER_SIDE_PX / Math.max(video.videoWidth, video.videoHeight));
      canvas.width = Math.round(video.videoWidth * scale);
      canvas.height = Math.round(video.videoHeight * scale);
      if (canvas.width) {
        canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
        const blob = await new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); });
        try { if (blob && this.stream === stream) await take(blob); } catch { /* the next frame may succeed */ }
      }
      await new Promise((done) => { setTimeout(done, PAUSE_MS); });
    }
  }

  stop() {
    if (!this.stream) return;
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = null;
    this.changed(false);
  }
}
