// What viewers do to an ad, and what players do to it.

import { LONG, QUARTILES, SHORT, WHOLE } from "./expected.mjs";

export const PLAYING = [
  {
    name: "two ads play",
    breaks: [[SHORT, SHORT]],
    expected: { "0.0": WHOLE, "0.1": WHOLE },
    page: (t) => t.playThrough(),
  },
  {
    name: "a slot between two ads is empty",
    breaks: [[SHORT, { isEmpty: true }, SHORT]],
    expected: { "0.0": WHOLE, "0.2": WHOLE },
    page: (t) => t.playThrough(),
  },
  {
    name: "a jump forward leaves a hole",
    breaks: [[LONG]],
    expected: { "0.0": ["start", "firstQuartile", "viewable"] },
    page: async (t) => {
      await t.begin();
      await t.heardOf("firstQuartile", "0.0");
      await t.heardOf("viewable", "0.0");
      t.video.currentTime = 7;
      await t.over;
    },
  },
  {
    name: "what is watched twice counts once",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.begin();
      await t.heardOf("midpoint", "0.0");
      t.video.currentTime = 0.2;
      await t.over;
    },
  },
  {
    name: "a pause just before the end",
    breaks: [[SHORT]],
    expected: { "0.0": [...WHOLE, "pause", "resume"] },
    page: async (t) => {
      await t.begin();
      await t.heardOf("viewable", "0.0");
      await t.at(2.5);
      t.video.pause();
      await t.heardOf("pause", "0.0");
      await t.video.play();
      await t.over;
    },
  },
  {
    name: "the network stalls, then goes on",
    breaks: [[LONG]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.media({ stalls: true });
      await t.begin();
      await t.started();
      await t.until("the video waits for data", () => t.video.readyState < 3);
      await t.media({ stalls: false });
      await t.over;
    },
  },
  {
    name: "the network stalls for good",
    breaks: [[LONG, SHORT]],
    expected: { "0.0": ["start", "firstQuartile", "viewable", "error"], "0.1": WHOLE },
    details: { "0.0 error": 402 },
    page: async (t) => {
      await t.media({ stalls: true });
      await t.begin();
      await t.heardOf("error", "0.0");
      await t.media({ stalls: false });
      await t.over;
    },
  },
  {
    name: "a file that is not there",
    breaks: [[{ media: "no-such-file.webm" }, SHORT]],
    expected: { "0.0": ["error"], "0.1": WHOLE },
    page: (t) => t.playThrough(),
  },
  {
    name: "autoplay is refused, then a click",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.load();
      t.adBreak = await t.request();
      // Nobody can click here, so the refusal is the page's own.
      const play = HTMLMediaElement.prototype.play;
      t.video.play = () => Promise.reject(new DOMException("play() failed", "NotAllowedError"));
      let code = "";
      await t.adBreak.play(t.video).catch((error) => { code = error.code; });
      if (code !== "play_not_allowed") throw new Error(`refused with ${code}`);
      t.video.play = play;
      await t.adBreak.play(t.video);
    },
  },
  {
    name: "the same ad in two breaks",
    breaks: [[SHORT], [SHORT]],
    expected: { "0.0": WHOLE, "1.0": WHOLE },
    page: async (t) => {
      await t.playThrough();
      await t.playThrough();
    },
  },
  {
    name: "a skip",
    breaks: [[SHORT, SHORT]],
    expected: { "0.0": ["start", "firstQuartile", "skip", "notViewable"], "0.1": WHOLE },
    page: async (t) => {
      await t.begin();
      await t.heardOf("firstQuartile", "0.0");
      t.adBreak.skip();
      await t.over;
    },
  },
  {
    name: "a click",
    breaks: [[{ clickUrl: "https://advertiser.example/offer" }]],
    expected: { "0.0": [...WHOLE, "clickThrough"] },
    page: async (t) => {
      await t.begin();
      await t.started();
      const link = t.adBreak.click();
      if (link !== "https://advertiser.example/offer") throw new Error(`the click leads to ${link}`);
      t.adBreak.click(); // the second is none
      await t.over;
    },
  },
  {
    name: "the app gives an ad up",
    breaks: [[SHORT, SHORT]],
    expected: { "0.0": ["start", "error", "notViewable"], "0.1": WHOLE },
    details: { "0.0 error": 405 },
    page: async (t) => {
      await t.begin();
      await t.started();
      t.adBreak.error(405);
      await t.over;
    },
  },
  {
    name: "sound, pause and full screen",
    note: "full screen is simulated: engines without a hand cannot enter it",
    breaks: [[SHORT]],
    expected: { "0.0": [...WHOLE, "mute", "unmute", "playerExpand", "playerCollapse", "pause", "resume"] },
    page: async (t) => {
      await t.begin();
      await t.started();
      const acts = [
        ["mute", () => { t.video.muted = true; }],
        ["unmute", () => { t.video.muted = false; }],
        ["playerExpand", () => t.setFullscreen(t.video)],
        ["playerCollapse", () => t.setFullscreen(null)],
        ["pause", () => t.video.pause()],
        ["resume", () => t.video.play()],
      ];
      for (const [event, act] of acts) {
        act();
        await t.heardOf(event, "0.0");
      }
      await t.over;
    },
  },
  {
    name: "out of view",
    breaks: [[SHORT]],
    expected: { "0.0": [...QUARTILES, "notViewable"] },
    page: async (t) => {
      window.scrollTo(0, 2000);
      await t.playThrough();
    },
  },
  {
    name: "hidden in the middle",
    note: "hiding is simulated: headless engines hide no page",
    breaks: [[SHORT]],
    duplicates: true, // what was handed over when the page was hidden is sent again
    expected: { "0.0": [...QUARTILES, "notViewable"] },
    page: async (t) => {
      await t.begin();
      await t.heardOf("midpoint", "0.0");
      t.setHidden(true);
      await t.at(1.9);
      t.setHidden(false);
      await t.over;
    },
  },
  {
    name: "the clock jumps a day ahead",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.begin();
      await t.heardOf("firstQuartile", "0.0");
      t.setClock(24 * 3600 * 1000);
      await t.over;
    },
  },
  {
    name: "the clock jumps a day back",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.begin();
      await t.heardOf("firstQuartile", "0.0");
      t.setClock(-24 * 3600 * 1000);
      await t.over;
    },
  },
  {
    name: "an ad whose turn comes too late",
    breaks: [[SHORT, { lifeMs: 1_000 }]],
    expected: { "0.0": WHOLE, "0.1": ["notUsed"] },
    page: (t) => t.playThrough(),
  },
  {
    name: "a break asked for ahead of time",
    breaks: [[SHORT]],
    expected: { "0.0": WHOLE },
    page: async (t) => {
      await t.load();
      await t.client.prefetchBreak(t.options());
      await t.playThrough();
    },
  },
  {
    name: "a break asked for too far ahead of time",
    breaks: [[{ lifeMs: 500 }], [SHORT]],
    expected: { "0.0": ["notUsed"], "1.0": WHOLE },
    page: async (t) => {
      await t.load();
      await t.client.prefetchBreak(t.options());
      const late = t.now() + 700;
      await t.until("the first break has expired", () => t.now() > late);
      await t.playThrough();
    },
  },
  {
    name: "the app destroys the client in the middle",
    breaks: [[SHORT, SHORT]],
    duplicates: true, // it is handed over, should the page go at once, and sent until it is acknowledged
    expected: { "0.0": ["start", "firstQuartile", "notViewable"], "0.1": ["notUsed"] },
    page: async (t) => {
      await t.begin();
      await t.heardOf("firstQuartile", "0.0");
      t.client.destroy();
      await t.over;
    },
  },
];
