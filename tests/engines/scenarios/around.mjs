// What is around an ad: the app's own player, its content, subtitles, and a video that nobody can see.

import { QUARTILES, SHORT, WHOLE } from "./expected.mjs";

/** The app plays a slot's file itself, and has it observed. */
const observed = async (t, slotIndex) => {
  await t.load();
  t.adBreak = await t.request();
  t.file = t.adBreak.slots[slotIndex].ad.media[0].url;
  t.observation = t.adBreak.observe(t.video, slotIndex);
  t.video.src = t.file;
  await t.video.play();
  await t.heardOf("firstQuartile", `0.${slotIndex}`);
};

export const AROUND = [
  {
    name: "subtitles that do not load",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.begin();
      await t.started();
      const track = document.createElement("track");
      const failed = new Promise((resolve) => { track.onerror = resolve; });
      track.src = "/no-such-subtitles.vtt";
      t.video.appendChild(track);
      track.track.mode = "showing";
      await failed;
      await t.over;
    },
  },
  {
    name: "an observation is stopped in the middle, another before it began",
    breaks: [[SHORT, SHORT]],
    expected: { "0.0": ["start", "firstQuartile", "notViewable"], "0.1": WHOLE },
    shared: { observed },
    page: async (t) => {
      await t.observed(t, 0);
      t.adBreak.observe(document.createElement("video"), 1).stop();
      t.observation.stop();
      await t.next("ended");
      await t.adBreak.play(t.video); // what nobody took is still there
    },
  },
  {
    name: "an observed video is given another file",
    breaks: [[SHORT]],
    expected: { "0.0": ["start", "firstQuartile", "notViewable"] },
    shared: { observed },
    page: async (t) => {
      await t.observed(t, 0);
      t.video.src = `${t.file}?another`;
      await t.video.play();
      await t.next("ended");
    },
  },
  {
    name: "content that throws when it is put away, and when it comes back",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.load();
      t.adBreak = await t.request();
      const throws = () => { throw new Error("not now"); };
      t.video.loop = true;
      let said = "";
      await t.adBreak.play(t.video, { content: { suspend: throws, resume: throws } }).catch((error) => { said = error.message; });
      if (said !== "not now") throw new Error(`the app was told ${JSON.stringify(said)}`);
      if (!t.video.loop) throw new Error("the video is not as it was");
      await t.adBreak.play(t.video, { content: { suspend() {}, resume: throws } });
    },
  },
  {
    name: "a video without area",
    breaks: [[SHORT]],
    expected: { "0.0": [...QUARTILES, "notViewable"] },
    page: async (t) => {
      t.video.style.height = "0";
      await t.playThrough();
    },
  },
  {
    name: "no session id is none, and a made one is used",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.load({ sessionId: null });
      await t.playThrough();
    },
    check({ batches }) {
      const strange = batches.map(({ session }) => session).filter((session) => !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(session));
      return strange.length ? `sessions are called ${strange}` : null;
    },
  },
];
