/** What the page remembers on this machine. Where storage is forbidden it remembers for as long as it is open. */

const KEY = "omni.preferences";

const DEFAULTS = {
  microphone: "", speaker: "", volume: 1, theme: "auto", transport: "auto",
  echoCancellation: true, noiseSuppression: true, autoGainControl: true,
};

export class Preferences {
  /** @param {Storage} storage */
  constructor(storage) {
    this.storage = storage;
    this.values = { ...DEFAULTS };
    try {
      const stored = JSON.parse(storage.getItem(KEY) ?? "{}");
      for (const [name, value] of Object.entries(stored)) {
        if (typeof value === typeof DEFAULTS[name]) this.values[name] = value;
      }
    } catch {
      // unreadable or forbidden: the defaults hold
    }
  }

  /** @param {keyof typeof DEFAULTS} name */
  get(name) {
    return this.values[name];
  }

  /** @param {keyof typeof DEFAULTS} name @param {string | number | boolean} value */
  set(name, value) {
    this.values[name] = value;
    try {
      this.storage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // private windows may forbid it
    }
  }
}
