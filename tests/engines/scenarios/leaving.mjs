// What becomes of beacons when the page goes, in whatever way.

import { LONGEST, SHORT } from "./expected.mjs";

const LEFT = { "0.0": ["start", "viewable"], "0.1": ["notUsed"] };

/** A page in the middle of its first ad. A batch that is in flight when it goes is handed over once more. */
const inTheMiddle = async (t) => {
  await t.begin();
  await t.heardOf("viewable", "0.0");
};

const leaves = (name, more) =>
  ({ name, breaks: [[LONGEST, SHORT]], expected: LEFT, shared: { inTheMiddle }, duplicates: true, ...more });

export const LEAVING = [
  leaves("the tab is closed in the middle of an ad", {
    isLeft: true,
    page: async (t) => {
      await t.inTheMiddle(t);
      await t.mark("leaving");
      await t.forever();
    },
    drive: async (stage) => {
      await stage.marked("leaving");
      await stage.browser.closeTab(`${stage.url}/page`);
    },
  }),
  leaves("the page navigates away in the middle of an ad", {
    isLeft: true,
    page: async (t) => {
      await t.inTheMiddle(t);
      await t.mark("leaving");
      location.href = "/elsewhere";
      await t.forever();
    },
  }),
  leaves("the page navigates away from a slow collector", {
    isLeft: true,
    heardMore: true, // without sendBeacon the page stays until the collector has answered, and the ad plays on meanwhile
    page: async (t) => {
      await t.edge({ beacons: "slow" });
      await t.inTheMiddle(t);
      await t.mark("leaving");
      location.href = "/elsewhere";
      await t.forever();
    },
  }),
  leaves("the page goes while nobody can be reached, and another comes", {
    page: async (t) => {
      await t.begin();
      await t.edge({ down: true });
      await t.heardOf("viewable", "0.0");
      location.href = "/again";
      await t.forever();
    },
    again: async (t) => {
      await t.edge({ down: false });
      await t.load();
    },
  }),
  {
    name: "a power cut in the middle of an ad, then a restart",
    note: "Chromium brings localStorage to disk five seconds after the first write: what is written later is lost",
    breaks: [[LONGEST, SHORT]],
    duplicates: true,
    heardMore: true, // of what happened after those five seconds, nothing is expected
    expected: { "0.0": ["start", "viewable"] },
    page: async (t) => {
      await t.edge({ beacons: "refuses" });
      await t.begin();
      await t.at(7); // the first seconds are on the disk by now
      await t.mark("playing");
      await t.forever();
    },
    again: async (t) => {
      await t.edge({ beacons: "well" });
      await t.load();
    },
    drive: async (stage) => {
      await stage.marked("playing");
      await stage.browser.kill();
      stage.open("/again");
    },
  },
];
