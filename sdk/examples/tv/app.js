// The skeleton of a television app: one <video> for the film and the ads, a remote control, and an end that loses no beacon. ES5, for
// the sets that are six years old and more.

(function () {
  'use strict';

  /** Keys of webOS and Tizen. */
  var KEY = { ENTER: 13, PAUSE: 19, STOP: 413, PLAY: 415, BACK_WEBOS: 461, BACK_TIZEN: 10009, PLAY_PAUSE: 10252 };
  var SLOT = { maxDurationMs: 10000 };
  /** Tizen sends these to the app only if it asks for them. */
  var TIZEN_KEYS = ['MediaPlay', 'MediaPause', 'MediaPlayPause', 'MediaStop'];

  var video = /** @type {HTMLVideoElement} */ (document.getElementById('video'));
  /** @type {Slotkeeper.AdClient | null} */
  var client = null;
  /** @type {Slotkeeper.AdBreak | null} */
  var current = null;
  var wasPlaying = false;
  var hasLeft = false;

  function start() {
    registerKeys();
    document.addEventListener('keydown', function (event) { onKey(event.keyCode); });
    document.addEventListener('visibilitychange', onVisibility);
    // webOS starts an app that runs already by this event: somebody chose it with the remote control.
    document.addEventListener('webOSRelaunch', function () {
      interacted();
      resume();
    });
    video.src = CONFIG.film;
    Slotkeeper.init()
      .then(edgeUrl)
      .then(function (url) { return Slotkeeper.AdClient.load({ edgeUrl: url, profileId: profileId() }); })
      .then(function (loaded) {
        client = loaded;
        client.on('start', function (event) { notice('Ad: ' + (event.ad ? event.ad.name : '')); });
        client.on('breakEnd', function () { notice(''); });
        return playBreak('preroll');
      })
      .then(null, report) // without ads, then
      .then(playFilm);
  }

  /** @param {Slotkeeper.BreakPosition} position */
  function playBreak(position) {
    if (!client) return Promise.resolve();
    state(position);
    return client
      .requestBreak({ titleId: CONFIG.titleId, position: position, slots: [SLOT, SLOT], device: 'tv' })
      .then(function (adBreak) {
        current = adBreak;
        return adBreak.play(video);
      })
      .then(null, report)
      .then(function () { current = null; });
  }

  function playFilm() {
    if (hasLeft) return; // which ended the break
    state('film');
    resume();
  }

  /** @param {number} key */
  function onKey(key) {
    interacted();
    if (key === KEY.BACK_WEBOS || key === KEY.BACK_TIZEN) exit();
    else if (key === KEY.PLAY) resume();
    else if (key === KEY.PAUSE || key === KEY.STOP) video.pause();
    else if (key === KEY.PLAY_PAUSE || (key === KEY.ENTER && !current)) toggle();
    else if (key === KEY.ENTER && current) current.skip();
  }

  /** The beacons carry how long ago this was: who touches nothing for hours has switched off the screen, perhaps. */
  function interacted() {
    if (client) client.interacted();
  }

  function toggle() {
    if (video.paused) resume();
    else video.pause();
  }

  function resume() {
    var playing = video.play();
    if (playing) playing.then(null, report); // old sets return nothing
  }

  /** Another app came to the front. The SDK sends its beacons by itself; the picture has to stop. */
  function onVisibility() {
    if (document.hidden) {
      wasPlaying = !video.paused;
      video.pause();
    } else if (wasPlaying) {
      resume();
    }
  }

  /** Gives back the ads that will not play and hands over the beacons, then leaves. What the origin does not have yet is sent at the
   * next start. */
  function exit() {
    hasLeft = true;
    video.pause();
    if (client) client.destroy();
    client = null;
    state('gone');
    if (typeof tizen !== 'undefined') tizen.application.getCurrentApplication().exit();
    else window.close();
  }

  function registerKeys() {
    if (typeof tizen === 'undefined' || !tizen.tvinputdevice) return;
    for (var i = 0; i < TIZEN_KEYS.length; i++) tizen.tvinputdevice.registerKey(TIZEN_KEYS[i]);
  }

  /** @returns {string | Promise<string>} */
  function edgeUrl() {
    if (CONFIG.edgeUrl) return CONFIG.edgeUrl;
    return new Promise(function (resolve, reject) {
      var request = new XMLHttpRequest();
      request.open('GET', '../api/v1/config');
      request.onload = function () { resolve(JSON.parse(request.responseText).edge_url); };
      request.onerror = reject;
      request.send();
    });
  }

  /** Who watches. Yours knows; this one is somebody else on each set. */
  function profileId() {
    var known = localStorage.getItem('profile');
    if (!known) localStorage.setItem('profile', known = 'tv-' + Math.random().toString(36).slice(2));
    return known;
  }

  /** @param {string} text */
  function notice(text) {
    var place = document.getElementById('notice');
    if (place) place.textContent = text;
  }

  /** @param {string} name */
  function state(name) {
    document.body.setAttribute('data-state', name);
  }

  /** @param {unknown} error */
  function report(error) {
    console.error(error);
  }

  start();
})();
