// How long a job's stage still takes, from its events. They say how long the last epochs took, so a reload knows it too.

const WARM_MS = 2000; // a speed is measured for so long before it is told

export class TimeLeft {
  constructor() { this.start(); }

  start() {
    Object.assign(this, { epochs: null, lasted: [], later: 0, marks: [], atMost: false, done: 0, total: 0, label: "" });
  }

  take(event, now) {
    const name = event.event;
    if (name === "stage_started" || name === "stage_cached") this.start();
    else if (name === "remaining") { const later = event.seconds || 0; this.start(); this.later = later; } // another template follows
    else if (name === "epoch_started") {
      this.epochs = { now: event.epoch - 1, all: event.epochs, share: event.steps ? event.step / event.steps : 0 };
      this.atMost = Boolean(event.at_most);
      this.lasted = event.last_epochs_s || [];
      this.marks = [];
    } else if (name === "epoch") {
      this.epochs = { now: event.epoch, all: event.epochs, share: 0 };
      this.marks = [];
    } else if (name === "progress" && event.total) {
      if (event.label !== this.label || event.done < this.done) this.marks = [];
      Object.assign(this, { done: event.done, total: event.total, label: event.label });
      if (this.epochs && /^epoch /.test(event.label)) this.epochs.share = event.done / event.total;
      if (!this.marks.length || now - this.marks[this.marks.length - 1][0] >= 500) this.marks = [...this.marks.slice(-59), [now, event.done]];
    }
  }

  // Seconds of what the progress counts, by the speed of the last half minute; null while that is unknown.
  rest(now) {
    const [first] = this.marks;
    if (!first || now - first[0] < WARM_MS || this.done <= first[1]) return null;
    return ((this.total - this.done) * (now - first[0])) / 1000 / (this.done - first[1]);
  }

  // Seconds to the end of the stage: all epochs, and the templates that are tried after this one; null while it is unknown.
  seconds(now) {
    if (!this.epochs) { const rest = this.rest(now); return rest === null ? null : rest + this.later; }
    const { now: epoch, all, share } = this.epochs;
    if (this.lasted.length) return (all - epoch - share) * (this.lasted.reduce((sum, one) => sum + one, 0) / this.lasted.length) + this.later;
    const rest = this.rest(now);
    if (rest === null || !share) return null;
    return (rest / (1 - share || 1)) * (all - epoch - share) + this.later;
  }
}
