// What lies over the photograph: masks or the probability map, and the clicks of the present object.

import { $ } from "./dom.js";
import { drawScale, paintHeat } from "./heat.js";
import { notice } from "./notices.js";
import { Pictures } from "./objects.js";
import { presentOf } from "./state.js";

export class Overlay {
  constructor(stage, session) {
    this.stage = stage;
    this.session = session;
    this.pictures = new Pictures();
    this.heatWanted = false;
    this.opacities = { mask: 0.45, heat: 0.7 };
    this.heatOf = null; // revision that the heat map shows
    this.asking = null; // AbortController of the request under way
    drawScale($("scale-bar"));
  }

  clear() {
    this.pictures.clear();
    this.heatOf = null;
    this.asking?.abort();
  }

  /** Draw the session as it is. */
  update() {
    const { stage, session } = this;
    const { state } = session;
    const present = state && presentOf(state);
    const others = state?.objects.filter((object) => object !== present && !object.hidden) ?? [];
    const finished = this.heatWanted ? [] : others;
    stage.setMasks("finished", this.picturesOf(finished));
    stage.setMasks("overlay", this.picturesOf(present ? [present] : []));
    stage.setClicks([
      ...(present?.clicks ?? []),
      ...session.waitingClicks.map((click) => ({ ...click, waiting: true })),
    ]);
    if (this.heatWanted && state && this.heatOf !== state.revision) this.fetchHeat(state);
  }

  picturesOf(objects) {
    return objects.map((object) => this.pictures.of(object)).filter(Boolean);
  }

  get opacity() {
    return this.opacities[this.heatWanted ? "heat" : "mask"];
  }

  setOpacity(opacity) {
    this.opacities[this.heatWanted ? "heat" : "mask"] = opacity;
    this.stage.setOpacity(opacity);
  }

  wantHeat(wanted) {
    this.heatWanted = wanted;
    $("scale").hidden = !wanted;
    if (!wanted) {
      this.asking?.abort();
      this.heatOf = null;
      this.stage.setHeat(null);
    }
    this.stage.setOpacity(this.opacity);
    this.update();
  }

  /** The newest one wins; until it is there, the one before it stays. */
  async fetchHeat({ id, revision }) {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    this.heatOf = revision;
    try {
      const heat = await paintHeat(await this.session.api.probability(id, asking.signal));
      if (asking.signal.aborted || !this.heatWanted) return;
      this.stage.setHeat(heat);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.heatOf = null;
      notice("refused", "error", error.message);
    }
  }
}
