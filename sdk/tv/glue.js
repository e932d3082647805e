// Slotkeeper for televisions: a classic script in ES5 that defines `Slotkeeper` and nothing else.
//
// The rules (what counts as played, what waits, what is written) are in wasm, or in its twin in JavaScript where there is no wasm;
// this file hears the page and does what they say. It uses what Chromium 38 has, so no fetch, URL, Map or classList. One client
// is one instance of the wasm: `core` below is what sdk/tv/src/exports.rs exports, and what it calls a place is an ad.
//
// Written as closures, not as prototypes: only local names can be made short for shipping, and every byte is paid for.
(function () {
  "use strict";

  var EVENTS = ("breakStart start firstQuartile midpoint thirdQuartile complete pause resume mute unmute skip error notUsed" +
    " clickThrough playerExpand playerCollapse viewable notViewable viewUndetermined breakEnd").split(" ");
  var BREAK_START = 0, BREAK_END = 19; // between them, an event's place is its code
  var ERROR = 11;

  // What is due, beside events; CLOSED is the sign of a number.
  var RECORD = 1, START = 2, STALLED = 1 << 30;

  // How the watching of an ad ends: with a VAST error code, or so.
  var DROPPED = 0, SKIPPED = 1, FAILED = 2, BLOCKED = -1, REPLACED = -2;

  var WEEK_MS = 7 * 24 * 3600000;
  var RECORD_KEY = "slotkeeper1:", RECEIPT_KEY = "slotkeeper1r:";
  var BEACONS = "/v1/beacons", RECEIPTS = "/v1/receipts";

  var script = document.currentScript;
  var ready, instantiate;

  function noop() {}

  function now() {
    return performance.now();
  }

  function failure(code, message, field, status) {
    var error = new Error(message);
    error.name = "SlotkeeperError";
    error.code = code;
    error.field = field || null;
    error.status = status || null;
    return error;
  }

  function badArgument(field, message) {
    return failure("invalid_argument", field + ": " + message, field);
  }

  /** Calls `handler` at these events; returns how to stop. */
  function listen(target, names, handler) {
    names = names.split(" ");
    names.forEach(function (name) {
      target.addEventListener(name, handler, true);
    });
    return function () {
      names.forEach(function (name) {
        target.removeEventListener(name, handler, true);
      });
    };
  }

  /** A request; what comes back is there once it is over, with status 0 if nothing came. A text needs no CORS preflight. */
  function exchange(method, url, type, body, timeoutMs) {
    return new Promise(function (resolve) {
      var request = new XMLHttpRequest();
      request.onloadend = function () {
        resolve(request);
      };
      request.open(method, url, true);
      request.responseType = type;
      request.timeout = timeoutMs || 0;
      request.send(body);
    });
  }

  /** A UUID version 7: twelve digits of time, then randomness. The edge dates a break by it. */
  function freshId() {
    var random = crypto.getRandomValues(new Uint8Array(32)), nth = 0;
    var time = ("0" + Date.now().toString(16)).slice(-12);
    return "xxxxxxxx-xxxx-7xxx-yxxx-xxxxxxxxxxxx".replace(/[xy]/g, function (kind) {
      var bits = random[nth] & 15;
      return time[nth++] || (kind === "y" ? bits & 3 | 8 : bits).toString(16);
    });
  }

  // --- Loading

  function init(source) {
    ready = ready || Promise.resolve().then(function () {
      var url = source ? "" + source : script.src.replace(/[^\/]*$/, "slotkeeper-tv.wasm");
      return exchange("GET", url, "arraybuffer").then(function (request) {
        instantiate = function () {
          return WebAssembly.instantiate(request.response, {}).then(function (made) {
            return made.instance.exports;
          });
        };
        return instantiate(); // which fails where there is no wasm, or not this one, or no file
      }).catch(function () {
        return loadTwin(url.replace(/wasm$/, "asm.js"));
      });
    }).then(noop);
    return ready;
  }

  /** The twin leaves its maker at its own element. */
  function loadTwin(url) {
    return new Promise(function (resolve, reject) {
      var element = document.createElement("script");
      element.onload = function () {
        instantiate = element.instantiate;
        resolve();
      };
      element.onerror = function () {
        ready = null; // next time, maybe
        reject(failure("module_unreachable", "neither the wasm nor " + url + " could be loaded"));
      };
      element.src = url;
      document.head.appendChild(element);
    });
  }

  function load(config) {
    return init().then(function () {
      return instantiate();
    }).then(function (core) {
      return client(core, config || {});
    });
  }

  // --- A client

  function client(core, config) {
    var bytes = new Uint8Array(core.memory.buffer, core.text(), 8192);
    var edgeUrl = config.edgeUrl, sessionId = config.sessionId || freshId();
    var handlers = [];
    var ads = []; // those of which more may become
    var letters = []; // what is sent besides beacons: receipts, and records of clients before
    var attempted = []; // who waits for the next sending to end
    var prefetched, timer, isSending, isDestroyed;
    var recordKey = RECORD_KEY + freshId();

    if (typeof edgeUrl !== "string") throw badArgument("edgeUrl", "must be the URL of the edge");
    edgeUrl = edgeUrl.replace(/\/+$/, "");
    // A session the app named may have had a page before this one; its numbers go on from the time, not from 0.
    if (!core.start(write(sessionId), config.sessionId ? Date.now() / 1000 : 0, now())) {
      throw badArgument("sessionId", "must be 1 to 64 letters, digits, hyphens or underscores");
    }

    /** Puts a text where the wasm reads it; returns its length. */
    function write(text) {
      text = "" + text;
      for (var at = 0; at < text.length; at++) bytes[at] = Math.min(text.charCodeAt(at), 255);
      return text.length;
    }

    function read(length) {
      return String.fromCharCode.apply(null, bytes.subarray(0, length));
    }

    // --- Events

    /** Tells the app's handlers. One that throws is the app's fault and nobody else's trouble. */
    function tell(code, opened, ad, errorCode) {
      var event = { type: EVENTS[code], requestId: opened.requestId, breakId: opened.breakId };
      if (ad) {
        event.slotIndex = ad.slot.slotIndex;
        event.opportunityId = ad.slot.opportunityId;
        event.ad = ad.slot.ad;
        if (code === ERROR) event.errorCode = errorCode;
      }
      handlers.slice().forEach(function (held) {
        if (held[0] === event.type) {
          try {
            held[1](event);
          } catch (error) {
            console.error(error);
          }
        }
      });
    }

    /** Does what is due of an ad. */
    function follow(ad, due, errorCode) {
      if (due & RECORD) save();
      if (due & START) ad.hasBegun = true;
      if (due < 0 && !ad.isClosed) {
        ad.isClosed = true;
        core.release(ad.place);
        ads.splice(ads.indexOf(ad), 1);
      }
      for (var code = 1; code < BREAK_END; code++) {
        if (due >> code & 1) tell(code, ad.opened, ad, errorCode);
      }
      schedule();
    }

    function end(ad, how, errorCode) {
      if (!ad.isClosed) follow(ad, core.end(ad.place, how, errorCode, now()), errorCode);
    }

    /** The ads of which nothing has become: nobody will play them. */
    function giveBack(opened) {
      ads.slice().forEach(function (ad) {
        if (!ad.isTaken && ad.opened === opened) {
          ad.isTaken = true;
          end(ad, DROPPED);
        }
      });
    }

    // --- Storage: what a power cut must not take

    /** Stores a text, or forgets it. Errors of storage are no errors: then there is none. */
    function store(key, text) {
      try {
        if (config.storage !== false) {
          if (text) localStorage.setItem(key, Date.now() + "\n" + text);
          else localStorage.removeItem(key);
        }
      } catch (error) {}
    }

    function save() {
      var length = core.record(now());
      store(recordKey, length && read(length));
    }

    /** What clients before this one left is sent by this one; the newest eight of it, if it is not older than any token. */
    function inherit() {
      try {
        if (config.storage !== false) {
          Object.keys(localStorage).forEach(function (key) {
            var isReceipt = !key.indexOf(RECEIPT_KEY);
            if (!isReceipt && key.indexOf(RECORD_KEY) || key === recordKey) return;
            var value = localStorage.getItem(key), begin = value.indexOf("\n") + 1;
            letters.push(letter(isReceipt, value.slice(begin), key, value, parseFloat(value)));
          });
        }
      } catch (error) {}
      letters.sort(function (one, other) {
        return other.writtenAt - one.writtenAt;
      });
      letters = letters.filter(function (letter, nth) {
        var isKept = nth < 8 && letter.writtenAt > Date.now() - WEEK_MS;
        if (!isKept) {
          core.lost(letter.count);
          store(letter.key);
        }
        return isKept;
      });
    }

    function letter(isReceipt, text, key, value, writtenAt) {
      return {
        isReceipt: isReceipt, text: text, key: key, value: value, writtenAt: writtenAt,
        count: isReceipt ? 1 : text.split("\n").length - 2
      };
    }

    // --- Delivery

    /** How many beacons and receipts the origin does not have. */
    function waiting() {
      return letters.reduce(function (sum, letter) {
        return sum + letter.count;
      }, core.waiting());
    }

    function schedule() {
      clearTimeout(timer);
      var waitMs = core.wait(now(), letters.length);
      if (waitMs >= 0) timer = isSending || setTimeout(send, waitMs);
      else if (isDestroyed) unlisten();
    }

    /** Posts a text. Returns how many of its beacons the edge will never take, −1 if nobody knows what became of it: only what
     * speaks as the edge does is believed. */
    function deliver(isReceipt, text) {
      return exchange("POST", edgeUrl + (isReceipt ? RECEIPTS : BEACONS), "json", text, 10000).then(function (request) {
        var answer = request.response || {}, status = request.status, head = text.split(" ", 3);
        if (answer.error && answer.error.code) {
          return status === 400 || status === 413 || isReceipt && (status === 403 || status === 410) ?
            letter(isReceipt, text).count : -1;
        }
        if (status !== 202) return -1;
        if (isReceipt) return answer.accepted >= 0 ? 0 : -1;
        return answer.session_id === head[1] && answer.sequence === +head[2] ? (answer.refused || []).length : -1;
      });
    }

    /** Posts one letter and one batch; neither keeps the other. */
    function send() {
      if (isSending) return;
      isSending = true;
      clearTimeout(timer);
      var first = letters[0], hasFailed, text, length;
      Promise.resolve(first && deliver(first.isReceipt, first.isReceipt ? first.text : aged(first))).then(function (refused) {
        if (refused < 0) {
          hasFailed = true;
          letters.push(letters.shift());
        } else if (first) {
          core.refused(refused);
          letters.splice(letters.indexOf(first), 1);
          try {
            // Who wrote it may live in another window, and have written more since.
            if (localStorage.getItem(first.key) === first.value) store(first.key);
          } catch (error) {}
        }
        length = core.batch(now());
        text = read(length);
        return length && deliver(false, text);
      }).then(function (refused) {
        if (refused < 0) hasFailed = true;
        else if (length) {
          core.settled(text.split(" ")[2], refused, now());
          save();
        }
        if (hasFailed) core.failed(now(), Math.random());
        else core.delivered(now());
        isSending = false;
        if (hasFailed || !waiting()) {
          attempted.splice(0).forEach(function (resolve) {
            resolve(waiting());
          });
        }
        schedule();
      });
    }

    /** A record as it is sent: its first line tells how long it lay. */
    function aged(letter) {
      return letter.text.replace("\n", " " + Math.max(0, Date.now() - letter.writtenAt) + "\n");
    }

    /** The page may never run again: everything goes to the browser, which outlives it. What that does not hold stays here. */
    function part(isLast) {
      var length, room = 40960;
      if (!navigator.sendBeacon && !isLast) return send();
      while ((length = core.parting(now())) && handOver(BEACONS, read(length))) core.parted();
      letters.forEach(function (letter) {
        if (letter.isReceipt && !letter.isParted && letter.text.length <= room && handOver(RECEIPTS, letter.text)) {
          letter.isParted = true;
          room -= letter.text.length;
        }
      });
    }

    function handOver(path, text) {
      if (navigator.sendBeacon) return navigator.sendBeacon(edgeUrl + path, text);
      try {
        var request = new XMLHttpRequest();
        request.open("POST", edgeUrl + path, false);
        request.send(text);
        return request.status === 202;
      } catch (error) {}
    }

    function comeBack() {
      core.back(now());
      letters.forEach(function (letter) {
        letter.isParted = false;
      });
      schedule();
    }

    /** The page goes. What has not begun will not be played here: it is given back rather than block the viewer's caps. */
    function leave() {
      ads.slice().forEach(function (ad) {
        if (!ad.hasBegun) {
          ad.isTaken = true;
          end(ad, DROPPED);
          if (ad.finish) ad.finish(DROPPED);
        }
      });
      part(true);
    }

    var unlistens = [
      listen(document, "visibilitychange freeze", function (event) {
        if (document.hidden || event.type === "freeze") part();
        else comeBack();
      }),
      listen(window, "pagehide", leave),
      listen(window, "pageshow online", comeBack),
      listen(window, "keydown mousedown touchstart", interacted)
    ];

    function unlisten() {
      unlistens.splice(0).forEach(function (stop) {
        stop();
      });
    }

    function interacted() {
      core.touch(now());
    }

    // --- Breaks

    /** Asks for a break under one id, a bounded number of times: a viewer waits. */
    function ask(options) {
      return Promise.resolve().then(function () {
        var profileId = options.profileId || config.profileId, tries = 0;
        var askedAt = [now(), Date.now()], url = edgeUrl + "/v1/breaks";
        if (isDestroyed) throw destroyed();
        if (!profileId) throw badArgument("profileId", "give it here or to AdClient.load");
        var body = JSON.stringify({
          request_id: options.requestId || freshId(), profile_id: profileId, session_id: sessionId, title_id: options.titleId,
          position: options.position,
          slots: (options.slots || []).map(function (slot) {
            return { max_duration_ms: slot.maxDurationMs };
          }),
          max_duration_ms: options.maxDurationMs, tier: options.tier, country: options.country, device: options.device
        });
        function attempt() {
          return exchange("POST", url, "json", body, 4000).then(function (request) {
            var status = request.status, answer = request.response || {}, error = answer.error || {};
            if (status >= 200 && status < 300) return open(answer, askedAt);
            error = status ?
              failure(error.code || "edge_error", error.message || "the edge answered " + status, error.field, status) :
              failure("edge_unreachable", "no answer from " + url);
            if (++tries > 3 || status && status < 500 && status !== 408 && status !== 429) throw error;
            return new Promise(function (resolve) {
              setTimeout(resolve, Math.min(2000, 125 << tries) * (1 + Math.random()) / 2);
            }).then(attempt);
          });
        }
        return attempt();
      }).then(function (opened) {
        if (!isDestroyed) return opened;
        opened.discard();
        part();
        throw destroyed();
      });
    }

    function destroyed() {
      return failure("client_destroyed", "this client was destroyed; load a new one");
    }

    /** The edge's answer as the app sees it. */
    function open(answer, askedAt) {
      var current, isPlaying;
      function need(object, key) {
        if (!object || object[key] == null) throw failure("edge_answer_malformed", "the edge's answer has no " + key);
        return object[key];
      }
      var decidedAt = need(answer, "decided_at_ms");
      var opened = controls({
        requestId: need(answer, "request_id"), breakId: need(answer, "break_id"), planVersion: answer.plan_version,
        decidedAtMs: decidedAt,
        slots: need(answer, "slots").map(function (slot, index) {
          var booked = slot.ad;
          var seen = { slotIndex: index, opportunityId: need(slot, "opportunity_id"), outcome: need(slot, "outcome") };
          if (seen.outcome !== "filled") {
            seen.unfilledReason = need(slot, "unfilled_reason");
            return seen;
          }
          seen.fillReason = need(slot, "fill_reason");
          seen.ad = {
            adId: booked.ad_id, creativeId: booked.creative_id, universalAdId: booked.universal_ad_id, name: booked.name,
            durationMs: need(booked, "duration_ms"),
            media: need(booked, "media").map(function (file) {
              return { url: file.url, mimeType: file.mime_type, width: file.width, height: file.height };
            })
          };
          seen.expiresAtMs = need(slot, "expires_at_ms");
          return seen;
        }),
        play: play,
        observe: observe,
        discard: function () {
          giveBack(opened);
        }
      }, function () {
        return current;
      });
      // Only now that all of it was readable. What the core does not take, nobody can report, so nobody plays it.
      opened.slots.forEach(function (slot, index) {
        var told = answer.slots[index];
        var place = slot.ad ? core.add(write(told.token), slot.ad.durationMs) : -1;
        if (place >= 0) {
          ads.push({
            place: place, slot: slot, opened: opened, link: told.ad.click_through || null,
            // Its life is counted from before the edge decided it, so a device whose clock is wrong is right enough. One clock
            // stands still while a device sleeps, the other may be set; the later of the two is believed.
            isExpired: function () {
              return Math.max(now() - askedAt[0], Date.now() - askedAt[1]) >= slot.expiresAtMs - decidedAt;
            }
          });
        }
      });
      if (answer.receipt) {
        core.gather(now());
        var key = RECEIPT_KEY + freshId();
        letters.push(letter(true, answer.receipt, key));
        store(key, answer.receipt);
        schedule();
      }

      function play(video, options) {
        var content = options && options.content, stage;
        if (isDestroyed) return Promise.reject(destroyed());
        if (isPlaying) return Promise.reject(failure("break_playing", "this break is playing already"));
        isPlaying = true;
        tell(BREAK_START, opened);
        return Promise.resolve().then(next).then(over, function (error) {
          return over().then(function () {
            throw error;
          });
        });

        function next() {
          var ad = ads.filter(function (ad) {
            return ad.opened === opened && !ad.isTaken;
          })[0];
          if (!ad) return;
          ad.isTaken = true;
          if (ad.isExpired()) {
            end(ad, DROPPED);
            return next();
          }
          var file = ad.slot.ad.media.filter(function (file) {
            return !file.mimeType || video.canPlayType(file.mimeType);
          })[0];
          if (!file) {
            end(ad, FAILED, 403);
            return next();
          }
          stage = stage || takeStage(video, content);
          return stage.taken.then(function () {
            return ad.isClosed ? DROPPED : playAd(ad, file.url);
          }).then(function (how) {
            if (how === BLOCKED) {
              throw failure("play_not_allowed",
                "the browser does not let this page play without a click; call play() again from one");
            }
            if (how !== REPLACED) return next();
            giveBack(opened);
            video.loop = stage.loop;
            stage = null;
          });
        }

        function over() {
          return Promise.resolve(stage && stage.restore()).then(function () {
            isPlaying = false;
            tell(BREAK_END, opened);
            flush();
          });
        }

        function playAd(ad, url) {
          return new Promise(function (resolve) {
            video.src = url;
            var src = video.src;
            function isReplaced() {
              return video.src !== src || video.srcObject;
            }
            current = watch(ad, video, undefined, function (how) {
              current = null;
              if (isReplaced()) how = REPLACED;
              if (how === BLOCKED) ad.isTaken = false;
              else end(ad, how > SKIPPED ? FAILED : how > 0 ? how : DROPPED, how);
              resolve(how);
            }, isReplaced);
            core.begin(ad.place, now(), look(video));
            var promise = video.play();
            if (promise) {
              promise.catch(function (error) {
                if (error.name === "NotAllowedError") ad.finish(BLOCKED);
              });
            }
          });
        }
      }

      function observe(video, slotIndex, span) {
        if (isDestroyed) throw destroyed();
        var slot = opened.slots[slotIndex];
        if (!slot || !slot.ad) throw badArgument("slotIndex", "slot " + slotIndex + " holds no ad");
        var ad = ads.filter(function (ad) {
          return ad.slot === slot && !ad.isTaken;
        })[0];
        if (!ad) throw failure("slot_taken", "slot " + slotIndex + " is played or observed already");
        ad.isTaken = true;
        watch(ad, video, span, function (how) {
          if (how === DROPPED && !ad.hasBegun) ad.isTaken = ad.isClosed;
          else end(ad, how > SKIPPED ? FAILED : how, how);
        });
        return controls({
          stop: function () {
            ad.finish(DROPPED);
          }
        }, function () {
          return ad;
        });
      }

      return opened;
    }

    /** What can be done to an ad in play. */
    function controls(of, current) {
      of.skip = function () {
        finish(SKIPPED);
      };
      of.error = function (code) {
        finish(code || 400);
      };
      of.click = function () {
        var ad = current();
        if (!ad) return null;
        if (!ad.isClosed) follow(ad, core.click(ad.place, now()));
        return ad.link;
      };
      function finish(how) {
        var ad = current();
        if (ad) ad.finish(how);
      }
      return of;
    }

    // --- Watching a video

    /** Looks at an ad until `then` was called with how it ended. */
    function watch(ad, video, span, then, isReplaced) {
      var startMs = span && span.startTime * 1000 || 0;
      var endMs = span && span.endTime * 1000 || startMs + ad.slot.ad.durationMs;
      var interval = setInterval(peek, 1000);
      var unwatch = [
        listen(video, "loadedmetadata playing timeupdate pause seeking seeked ratechange volumechange waiting ended error emptied",
          peek),
        listen(document, "visibilitychange fullscreenchange webkitfullscreenchange", peek)
      ];
      extent();

      function extent() {
        core.extent(ad.place, span ? 1 : 0, span ? endMs - startMs : isReplaced && !video.readyState ? 0 : video.duration * 1000);
      }

      function peek(event) {
        var type = event && event.type, due, code;
        var positionMs = video.currentTime * 1000 - startMs;
        if (isReplaced && isReplaced()) return ad.finish(REPLACED);
        if (type === "loadedmetadata") extent();
        if (type === "error" && (!span || positionMs >= 0 && positionMs < endMs - startMs)) {
          code = video.error && video.error.code;
          return ad.finish(code === 3 ? 405 : code === 4 ? 401 : 400);
        }
        due = core.look(ad.place, now(), positionMs, video.playbackRate, look(video));
        follow(ad, due);
        if (ad.isClosed || isReplaced && type === "ended" && video.ended) ad.finish(DROPPED);
        else if (isReplaced && due & STALLED) ad.finish(402);
      }

      ad.finish = function (how) {
        ad.finish = noop;
        clearInterval(interval);
        unwatch.forEach(function (stop) {
          stop();
        });
        then(how);
      };
      return ad;
    }

    /** What there is to see, as bits. */
    function look(video) {
      var full = document.fullscreenElement || document.webkitFullscreenElement;
      var box = video.getBoundingClientRect();
      var width = Math.min(box.right, innerWidth) - Math.max(box.left, 0);
      var height = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0);
      var isInView = width > 0 && height > 0 && width * height * 2 >= box.width * box.height;
      return (video.paused ? 1 : 0) | (video.seeking ? 2 : 0) | (video.ended ? 4 : 0) |
        (video.muted || video.volume <= 0 ? 8 : 0) | (full && full.contains(video) ? 16 : 0) |
        // In a frame, nobody can tell what of the frame is in view.
        (self !== top ? 64 : isInView && !document.hidden ? 32 : 0) | (document.hidden ? 128 : 0);
    }

    function flush() {
      return new Promise(function (resolve) {
        attempted.push(resolve);
        core.hurry(now());
        send();
      });
    }

    inherit();
    schedule();

    return {
      sessionId: sessionId,
      get beacons() {
        return { waiting: waiting(), overflowed: core.lost(0), refused: core.refused(0) };
      },
      requestBreak: function (options) {
        var held = prefetched;
        if (!held || held.key !== JSON.stringify(options)) return ask(options);
        prefetched = null;
        return held.answer.then(function (opened) {
          var isExpired = ads.some(function (ad) {
            return ad.opened === opened && ad.isExpired();
          });
          if (!isExpired) return opened;
          giveBack(opened);
          return ask(options);
        }, function () {
          return ask(options);
        });
      },
      prefetchBreak: function (options) {
        if (prefetched) prefetched.answer.then(giveBack, noop);
        prefetched = { key: JSON.stringify(options), answer: ask(options) };
        return prefetched.answer.then(noop);
      },
      adoptBreak: function (answer) {
        if (isDestroyed) throw destroyed();
        return open(answer, [now(), Date.now()]);
      },
      on: function (name, handler) {
        if (EVENTS.indexOf(name) < 0) throw badArgument("name", name + " is not an event; see AdEventName");
        handlers.push([name, handler]);
      },
      off: function (name, handler) {
        handlers = handlers.filter(function (held) {
          return held[0] !== name || held[1] !== handler;
        });
      },
      flush: flush,
      interacted: interacted,
      destroy: function () {
        if (isDestroyed) return;
        isDestroyed = true;
        ads.slice().forEach(function (ad) {
          ad.isTaken = true;
          end(ad, DROPPED);
          if (ad.finish) ad.finish(DROPPED);
        });
        handlers = [];
        // Sent by request, since only that is acknowledged; should the page go as well, the browser gets what is left then.
        core.hurry(now());
        schedule();
      }
    };
  }

  // --- The video's own content

  /** Puts the content away for the ads. */
  function takeStage(video, content) {
    var stream = video.srcObject, src = video.getAttribute("src"), position = video.currentTime, rate = video.playbackRate;
    var wasPlaying = !video.paused && !video.ended, loop = video.loop;
    if (!content && stream) video.srcObject = null;
    video.loop = false; // A video that loops never ends.
    return {
      loop: loop,
      taken: Promise.resolve(content && content.suspend()),
      restore: function () {
        video.loop = loop;
        if (content) return content.resume();
        return new Promise(function (resolve) {
          // However long the content takes to open again, the break is over.
          var timer = setTimeout(opened, 10000), stop = listen(video, "loadedmetadata error", opened);
          function opened() {
            clearTimeout(timer);
            stop();
            if (position) video.currentTime = position;
            var promise = wasPlaying && video.play();
            if (promise) promise.catch(noop); // which tells the app nothing it does not see on the element
            resolve();
          }
          if (src === null || stream) video.removeAttribute("src");
          if (stream) video.srcObject = stream;
          else if (src === null) video.load();
          else video.src = src;
          video.playbackRate = rate;
          if (!position && !wasPlaying) opened();
        });
      }
    };
  }

  var Slotkeeper = { init: init, AdClient: { load: load } };
  if (typeof module === "object" && module.exports) module.exports = Slotkeeper;
  else window.Slotkeeper = Slotkeeper;
})();
