/** The panel for sound, the volume and the colours. */

import { listDevices } from "./devices.js";

const TREATMENTS = ["echoCancellation", "noiseSuppression", "autoGainControl"];
const THEMES = { auto: "automatic", light: "light", dark: "dark" };

export class Settings {
  /**
   * @param {Document} page
   * @param {import("./preferences.js").Preferences} preferences
   * @param {{onMicrophone: () => void, onTransport: () => void, onTheme: () => void}} listeners
   */
  constructor(page, preferences, listeners) {
    this.page = page;
    this.preferences = preferences;
    this.listeners = listeners;
    this.at = (id) => page.getElementById(id);
    /** @type {HTMLAudioElement} */
    this.voice = this.at("voice");
    this.#prepareTheme();
    this.#prepareVolume();
    this.#preparePanel();
  }

  /** Send the voice to the chosen speaker; the system's own if that one is gone. */
  async applySpeaker() {
    const speaker = this.preferences.get("speaker");
    if (typeof this.voice.setSinkId !== "function") return;
    await this.voice.setSinkId(speaker).catch(() => this.voice.setSinkId("")).catch(() => {});
  }

  #prepareTheme() {
    const button = this.at("theme");
    const apply = () => {
      const theme = this.preferences.get("theme");
      if (theme === "auto") delete this.page.documentElement.dataset.theme;
      else this.page.documentElement.dataset.theme = theme;
      button.title = `Colours: ${THEMES[theme]}`;
      button.setAttribute("aria-label", button.title);
      this.listeners.onTheme();
    };
    button.addEventListener("click", () => {
      const names = Object.keys(THEMES);
      const next = names[(names.indexOf(this.preferences.get("theme")) + 1) % names.length];
      this.preferences.set("theme", next);
      apply();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.listeners.onTheme());
    apply();
  }

  #prepareVolume() {
    const slider = this.at("volume");
    slider.value = this.preferences.get("volume");
    this.voice.volume = this.preferences.get("volume");
    slider.addEventListener("input", () => {
      this.voice.volume = Number(slider.value);
      this.preferences.set("volume", Number(slider.value));
    });
  }

  #preparePanel() {
    const panel = this.at("panel");
    this.at("sound").addEventListener("click", async () => {
      panel.showModal();
      await this.#listDevices();
    });
    panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
    for (const name of TREATMENTS) {
      const box = this.at(name);
      box.checked = this.preferences.get(name);
      box.addEventListener("change", () => {
        this.preferences.set(name, box.checked);
        this.listeners.onMicrophone();
      });
    }
    const socketOnly = this.at("webSocketOnly");
    socketOnly.checked = this.preferences.get("transport") === "websocket";
    socketOnly.addEventListener("change", () => {
      this.preferences.set("transport", socketOnly.checked ? "websocket" : "auto");
      this.listeners.onTransport();
    });
    this.at("microphone").addEventListener("change", (event) => {
      this.preferences.set("microphone", event.target.value);
      this.listeners.onMicrophone();
    });
    this.at("speaker").addEventListener("change", (event) => {
      this.preferences.set("speaker", event.target.value);
      this.applySpeaker();
    });
    this.at("speaker-field").hidden = typeof this.voice.setSinkId !== "function";
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#listDevices());
    this.applySpeaker();
  }

  async #listDevices() {
    for (const [kind, name] of [["audioinput", "microphone"], ["audiooutput", "speaker"]]) {
      const select = this.at(name);
      const options = [new Option("The system’s own", "")];
      for (const { id, label } of await listDevices(kind)) {
        if (id !== "default") options.push(new Option(label || `Unnamed ${name}`, id));
      }
      select.replaceChildren(...options);
      select.value = this.preferences.get(name);
      if (select.selectedIndex < 0) select.value = "";
    }
  }
}
