// What networks and collectors do to beacons.

import { LONG, SHORT, WHOLE } from "./expected.mjs";

/** An ad plays while the collector has this fault, then it is well again. */
const through = (name, fault, more) => ({
  name,
  breaks: [[SHORT]],
  expected: { "0.0": WHOLE },
  ...more,
  fault,
  page: async (t) => {
    await t.edge(t.run.fault);
    await t.playThrough();
  },
});

export const DELIVERY = [
  through("the collector fails three times", { beacons: "refuses", times: 3 }),
  through("the collector is slow", { beacons: "slow", times: 2 }),
  through("the collector takes twice, and says that it failed", { beacons: "takesAndFails", times: 2 }, { duplicates: true }),
  through("the collector takes twice, and the answer is lost", { beacons: "takesAndHangsUp", times: 2 }, { duplicates: true }),
  through("the collector acknowledges another batch", { beacons: "wrongSequence", times: 2 }, { duplicates: true }),
  through("something else answers", { beacons: "notAnAnswer", times: 2 }),
  {
    name: "offline, then online",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.load();
      t.adBreak = await t.request();
      await t.edge({ down: true });
      await t.adBreak.play(t.video);
      await t.edge({ down: false });
      window.dispatchEvent(new Event("online")); // a socket that is cut does not make the engine think it is offline
      await t.heardOf("complete", "0.0");
    },
  },
  {
    name: "more beacons than are kept",
    note: "600 are kept; the oldest are lost first, and said to be lost",
    breaks: [[LONG]],
    repeats: true, // hundreds of mute and unmute are no duplicates
    expected: { "0.0": [...WHOLE, "pause", "resume", "mute", "unmute"] },
    page: async (t) => {
      await t.begin();
      await t.started();
      t.video.pause(); // the ad shall not be over before the viewer is done
      await t.heardOf("pause", "0.0");
      await t.settle();
      await t.edge({ down: true });
      for (let count = 0; count < 350; count += 1) {
        for (const isMuted of [true, false]) {
          const before = t.heard.length;
          t.video.muted = isMuted;
          await t.until("it is heard", () => t.heard.length > before);
        }
      }
      await t.edge({ down: false });
      window.dispatchEvent(new Event("online"));
      await t.video.play();
      await t.over;
    },
    check({ heard, batches }) {
      const lost = Math.max(...batches.map((batch) => batch.lost));
      const told = heard.filter(({ key }) => /^0\.0 /.test(key)).length;
      const arrived = batches.filter(({ took }) => took).reduce((sum, { lines }) => sum + lines.length, 0);
      if (lost === 0 || lost + arrived !== told) return `${told} were told of, ${arrived} arrived and ${lost} are said to be lost`;
      return null;
    },
  },
];
