// Slotkeeper for televisions: a classic script in ES5 that defines `Slotkeeper` and nothing else.
//
// The rules (what counts as played, what waits, what is written) are in wasm, or in its twin in JavaScript where there is no wasm;
// this file hears the page and does what they say. It uses what Chromium 38 has, so no fetch, URL, Map or classList. One client
// is one instance of the wasm: `core` below is what sdk/tv/src/exports.rs exports, and what is called a place there is an ad.
// Only numbers go over that border; the texts stay here.
//
// Every byte is paid for by every viewer, hence closures rather than prototypes: the names of variables are made short for
// shipping, and so are those of properties that end in `_`, which are nobody else's business.
(function () {
  // What is due, besides events, whose bits are their codes; that nothing more can happen to an ad is the sign of the number.
  var RECORD = 1, START = 2, STALLED = 1 << 30;
  var ERROR = 11, BREAK_END = 19;
  // How the watching of an ad ends, if not with a VAST error code.
  var DROPPED = 0, SKIPPED = 1, FAILED = 2, CLICKED = 3, BLOCKED = -1, REPLACED = -2;
  // What the wasm exports: sdk/tv/src/exports.rs and border.rs say what each does.
  var BEGIN_SESSION = "s", ADD = "a", EXTENT = "e", BEGIN = "b", LOOK = "l", ACT = "d", WAIT = "w", PACE = "p", WRITE = "t",
    NUMBER = "n", SETTLED = "o", PART = "g", COUNT = "c";
  // What sets its pace, what it writes, and what it counts.
  var GATHERS = 0, HURRIES = 1, DELIVERED = 2, HAS_FAILED = 3, IS_BACK = 4, TOUCHED = 5;
  var BATCH = 0, PARTING = 1, SURVIVING = 2;
  var WAITING = 0, LOST = 1, REFUSED = 2;

  var script = document.currentScript;
  var ready, instantiate;

  // The name of each event at its code, between those of the break.
  var events = ("breakStart start firstQuartile midpoint thirdQuartile complete pause resume mute unmute skip error notUsed " +
    "clickThrough playerExpand playerCollapse viewable notViewable viewUndetermined breakEnd").split(" ");

  /** A batch of these numbers: of its first line two, of each other line an ad, an event, and two more. */
  function join(count, numberAt, sessionId, tokens) {
    for (var text = "sk1 " + sessionId, at = 0; at < count; at++) {
      text += at % 4 == 2 ? "\n" + tokens[numberAt(at)] : " " + (at % 4 == 3 ? events[numberAt(at)] : numberAt(at) >>> 0);
    }
    return text + "\n";
  }

  function noop() {}

  function now() {
    return performance.now();
  }

  /** The codes explain themselves; the edge explains its own. */
  function failure(code, field, message, status) {
    var error = new Error(message || code + (field ? ": " + field : ""));
    error.name = "SlotkeeperError";
    error.code = code;
    error.field = field || null;
    error.status = status || null;
    return error;
  }

  function badArgument(field) {
    return failure("invalid_argument", field);
  }

  /** Calls `handler` at these events; adds to `stops` how to stop. */
  function listen(stops, target, names, handler) {
    names.split(" ").forEach(function (name) {
      target.addEventListener(name, handler, true);
      stops.push(function () {
        target.removeEventListener(name, handler, true);
      });
    });
  }

  /** Calls each, once. */
  function callAll(all, value) {
    all.splice(0).forEach(function (one) {
      one(value);
    });
  }

  /** Gets bytes, or posts a text, which without a type of its own needs no CORS preflight: the request that is over, with no
   * status if nothing came back. */
  function exchange(url, body, timeoutMs) {
    return new Promise(function (resolve) {
      var request = new XMLHttpRequest();
      request.onloadend = function () {
        resolve(request);
      };
      request.open(body ? "POST" : "GET", url);
      request.timeout = timeoutMs;
      request.responseType = body ? "" : "arraybuffer";
      request.send(body);
    }).catch(function () {
      return {}; // the URL is none
    });
  }

  /** Parses the edge's JSON, whose keys become JavaScript's: `slot_index` is `slotIndex`. Of what is none, an empty object. */
  function parse(text) {
    try {
      return JSON.parse(text.replace(/_.(?=\w*":)/g, function (letter) {
        return letter[1].toUpperCase();
      })) || {};
    } catch (error) {
      return {};
    }
  }

  /** A UUID version 7: twelve digits of time (of which the first is 0 until 2527), then randomness. The edge dates a break by it. */
  function freshId() {
    var random = crypto.getRandomValues(new Uint8Array(36)), nth = -1;
    var time = "0" + Date.now().toString(16);
    return "xxxxxxxx-xxxx-7xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, function () {
      return time[++nth] || (random[nth] & 15).toString(16);
    });
  }

  // --- Loading

  function init(source) {
    return ready = ready || new Promise(function (resolve, reject) {
      var url = source ? "" + source : script.src.replace(/[^\/]*$/, "slotkeeper-tv.wasm");
      exchange(url, null, 0).then(function (request) {
        instantiate = function () {
          return WebAssembly.instantiate(request.response).then(function (made) {
            return made.instance.exports;
          });
        };
        return instantiate(); // which fails where there is no wasm, or not this one, or no file
      }).then(resolve, function () {
        var twin = document.createElement("script");
        twin.onload = function () {
          instantiate = twin.instantiate;
          resolve();
        };
        twin.onerror = function () {
          ready = null; // next time, maybe
          reject(failure("module_unreachable"));
        };
        twin.src = url.replace(/wasm$/, "asm.js");
        document.head.appendChild(twin);
      });
    }).then(noop);
  }

  function load(config) {
    return init().then(function () {
      return instantiate();
    }).then(function (core) {
      return client(core, config);
    });
  }

  // --- A client

  function client(core, config) {
    var edgeUrl = config.edgeUrl, sessionId = config.sessionId || freshId();
    var tokens = []; // of the ads, each at its place
    var handlers = [];
    var ads = []; // of which more may become
    var letters = []; // what is sent besides beacons: receipts, and records that clients before this one left
    var stops = []; // how to stop listening to the page
    var attempted = []; // who waits for the next sending to end
    var recordKey = "slotkeeper1:" + freshId();
    var prefetched, timer, isSending, isDestroyed;

    if (typeof edgeUrl != "string") throw badArgument("edgeUrl");
    edgeUrl = edgeUrl.replace(/\/+$/, "") + "/v1/";
    // A session the app named may have had a page before this one; its numbers go on from the time, not from 0.
    if (!/^[\w-]{1,64}$/.test(sessionId)) throw badArgument("sessionId");
    core[BEGIN_SESSION](config.sessionId ? Date.now() / 1000 : 0, now());

    /** What the wasm writes, as the text that is posted: each beacon's numbers on a line of their own. */
    function write(what) {
      var count = core[WRITE](what, now());
      return count && join(count, core[NUMBER], sessionId, tokens);
    }

    function pace(what) {
      core[PACE](what, now(), Math.random());
    }

    // --- Events

    /** Tells the app's handlers. One that throws is the app's fault and nobody else's trouble. */
    function tell(code, opened, ad, errorCode) {
      var event = { type: events[code], requestId: opened.requestId, breakId: opened.breakId };
      if (ad) {
        event.slotIndex = ad.slot_.slotIndex;
        event.opportunityId = ad.slot_.opportunityId;
        event.ad = ad.slot_.ad;
        if (code == ERROR) event.errorCode = errorCode;
      }
      handlers.forEach(function (held) {
        try {
          if (held[0] == event.type) held[1](event);
        } catch (error) {
          console.error(error);
        }
      });
    }

    /** Does what is due of an ad. */
    function follow(ad, due, errorCode) {
      var isOver = due < 0 && !ad.isClosed_;
      if (due & RECORD) save();
      if (due & START) ad.hasBegun_ = true;
      if (isOver) {
        ad.isClosed_ = true;
        ads.splice(ads.indexOf(ad), 1);
      }
      for (var code = 1; code < BREAK_END; code++) {
        if (due >> code & 1) tell(code, ad.opened_, ad, errorCode);
      }
      if (isOver) ad.finish_(DROPPED);
      schedule();
    }

    function end(ad, how, errorCode) {
      if (!ad.isClosed_) follow(ad, core[ACT](ad.place_, now(), how, errorCode), errorCode);
    }

    /** Nobody will play these ads, or play them on. */
    function drop(isMeant) {
      ads.filter(isMeant).forEach(function (ad) {
        ad.isTaken_ = true;
        end(ad, DROPPED);
      });
    }

    function giveBack(opened) {
      drop(function (ad) {
        return ad.opened_ == opened && !ad.isTaken_;
      });
    }

    // --- Storage: what a power cut must not take, each as the time of the writing, a line end, and a text

    var storage = {}; // Errors of storage are no errors: then there is none.
    try {
      if (config.storage !== false) storage = localStorage || storage;
    } catch (error) {}

    /** Stores a text, or forgets it if there is none; returns what is stored. */
    function store(key, text) {
      var letter = { key_: key, text_: text, writtenAt_: Date.now() };
      try {
        if (text) storage[key] = stored(letter);
        else delete storage[key];
      } catch (error) {}
      return letter;
    }

    function stored(letter) {
      return letter.writtenAt_ + "\n" + letter.text_;
    }

    function save() {
      store(recordKey, write(SURVIVING));
    }

    function isReceipt(text) {
      return text.indexOf(" ") < 0;
    }

    /** How many beacons a batch has; a receipt is one. */
    function count(text) {
      return (text.match(/\n./g) || "1").length;
    }

    // What clients before this one left is sent by this one: eight at a time, and nothing that is older than any token.
    Object.keys(storage).forEach(function (key) {
      var value = storage[key];
      var letter = { key_: key, text_: value.replace(/^.*\n/, ""), writtenAt_: parseFloat(value) };
      if (/^slotkeeper1r?:/.test(key)) {
        if (Date.now() - letter.writtenAt_ < 6048e5) letters.length < 8 && letters.push(letter);
        else {
          core[COUNT](LOST, count(letter.text_));
          store(key);
        }
      }
    });

    // --- Delivery

    /** How many beacons and receipts the origin does not have. */
    function waiting() {
      return letters.reduce(function (sum, letter) {
        return sum + count(letter.text_);
      }, core[COUNT](WAITING, 0));
    }

    function schedule() {
      var waitMs = core[WAIT](now(), letters.length);
      clearTimeout(timer);
      if (waitMs >= 0) timer = setTimeout(send, waitMs);
      else if (isDestroyed) callAll(stops);
    }

    function pathOf(text) {
      return edgeUrl + (isReceipt(text) ? "receipts" : "beacons");
    }

    /** Posts a text. Returns how many of its beacons the edge will never take; −1 if nobody knows what became of it, for only
     * what speaks as the edge does is believed. */
    function deliver(text) {
      return exchange(pathOf(text), text, 1e4).then(function (request) {
        var status = request.status, answer = parse(request.response), head = text.split(" ");
        if ((answer.error || "").code) return (isReceipt(text) ? /400|403|410|413/ : /400|413/).test(status) ? count(text) : -1;
        return status == 202 && answer.accepted >= 0 && (isReceipt(text) || answer.sessionId == head[1] && answer.sequence == head[2]) ?
          (answer.refused || "").length : -1;
      });
    }

    /** Posts one letter and one batch; neither keeps the other. */
    function send() {
      if (isSending) return;
      isSending = true;
      var first = letters[0], text, hasFailed;
      // A record tells in its first line how long it lay.
      Promise.resolve(first && deliver(first.text_.replace("\n", " " + Math.max(0, Date.now() - first.writtenAt_) + "\n")))
        .then(function (refused) {
          if (refused < 0) {
            hasFailed = true;
            letters.push(letters.shift());
          } else if (first) {
            core[COUNT](REFUSED, refused);
            letters.splice(letters.indexOf(first), 1);
            // Who wrote it may live in another window, and have written more since.
            if (storage[first.key_] == stored(first)) store(first.key_);
          }
          text = write(BATCH);
          return text && deliver(text);
        }).then(function (refused) {
          if (refused < 0) hasFailed = true;
          else if (text) {
            core[SETTLED](text.split(" ")[2], now(), refused);
            save();
          }
          pace(hasFailed ? HAS_FAILED : DELIVERED);
          isSending = false;
          if (hasFailed || !waiting()) {
            callAll(attempted, waiting());
          }
          schedule();
        });
    }

    function flush() {
      return new Promise(function (resolve) {
        attempted.push(resolve);
        pace(HURRIES);
        send();
      });
    }

    /** The page may never run again: everything goes to the browser, which outlives it. What that does not hold stays here. */
    function part(isLast) {
      var room = 40960, text;
      function handOver(text) {
        if (navigator.sendBeacon) return navigator.sendBeacon(pathOf(text), text);
        // Before Chromium 39, only a request that keeps the page until its answer outlives it.
        var request = new XMLHttpRequest();
        try {
          request.open("POST", pathOf(text), !isLast);
          request.send(text);
          return true;
        } catch (error) {}
      }
      while ((text = write(PARTING)) && core[PART](text.length, 0) && handOver(text)) core[PART](text.length, 1);
      letters.forEach(function (letter) {
        text = letter.text_;
        if (isReceipt(text) && !letter.isParted_ && text.length < room && handOver(text)) {
          room -= text.length;
          letter.isParted_ = true;
        }
      });
    }

    function comeBack() {
      pace(IS_BACK);
      letters.forEach(function (letter) {
        letter.isParted_ = false;
      });
      schedule();
    }

    function interacted() {
      pace(TOUCHED);
    }

    listen(stops, document, "visibilitychange freeze", function (event) {
      if (document.hidden || event.type == "freeze") part();
      else comeBack();
    });
    listen(stops, window, "pageshow online", comeBack);
    listen(stops, window, "keydown mousedown touchstart", interacted);
    // What has not begun will not be played here: it is given back rather than block the viewer's caps.
    listen(stops, window, "pagehide", function () {
      drop(function (ad) {
        return !ad.hasBegun_;
      });
      prefetched = null;
      part(true);
    });

    // --- Breaks

    function mustLive() {
      if (isDestroyed) throw failure("client_destroyed");
    }

    /** Asks for a break under one id, a bounded number of times: a viewer waits. */
    function ask(options) {
      var asked = { requestId: freshId(), profileId: config.profileId, sessionId: sessionId };
      var clockMs = now(), unixMs = Date.now(), tries = 0;
      for (var key in options) {
        if (options[key] != null) asked[key] = options[key];
      }
      return Promise.resolve().then(function attempt() {
        mustLive();
        if (!asked.profileId) throw badArgument("profileId");
        var body = JSON.stringify(asked).replace(/[A-Z](?=\w*":)/g, function (letter) {
          return "_" + letter.toLowerCase();
        });
        return exchange(edgeUrl + "breaks", body, 4000).then(function (request) {
          var status = request.status, answer = parse(request.response), error = answer.error || "";
          if (/^2/.test(status)) {
            open(answer, clockMs, unixMs);
            if (isDestroyed) giveBack(answer);
            mustLive();
            return answer;
          }
          error = status ?
            failure(error.code || "edge_error", error.field, error.message, status) :
            failure("edge_unreachable");
          if (++tries > 3 || status && status < 500 && !/408|429/.test(status)) throw error;
          return new Promise(function (resolve) {
            setTimeout(resolve, Math.min(1000, 63 << tries) * (1 + Math.random()));
          }).then(attempt);
        });
      });
    }

    /** The edge's answer, with what can be done to it: that is a break. */
    function open(opened, clockMs, unixMs) {
      var current, isPlaying;

      function needs(what) {
        if (!what) throw failure("edge_answer_malformed");
        return what;
      }
      var decidedAtMs = needs(opened.decidedAtMs);
      needs(opened.requestId && opened.breakId && opened.slots).map(function (slot) {
        var lifeMs = slot.expiresAtMs - decidedAtMs;
        return needs(slot.opportunityId && slot.unfilledReason || slot.fillReason && lifeMs >= 0 && slot.ad && slot.ad.media && {
          place_: /^[\w-]{1,80}$/.test(needs(slot.token)) ? core[ADD](slot.ad.durationMs) : -1, slot_: slot, opened_: opened, finish_: noop,
          // Its life is counted from before the edge decided it, so a device whose clock is wrong is right enough. One clock
          // stands still while a device sleeps, the other may be set; the later of the two is believed.
          isExpired_: function () {
            return Math.max(now() - clockMs, Date.now() - unixMs) >= lifeMs;
          }
        });
      }).forEach(function (ad) {
        // What the core has no place for, nobody could report, so nobody plays it. Of an unfilled slot there is only the reason.
        if (!(ad.place_ >= 0)) return;
        tokens[ad.place_] = ad.slot_.token;
        ads.push(ad);
      });
      if (typeof opened.receipt == "string") {
        pace(GATHERS);
        // More than an hour of watching while nobody can be reached.
        if (letters.length > 23) core[COUNT](LOST, 1);
        else letters.push(store("slotkeeper1r:" + freshId(), opened.receipt));
        schedule();
      }

      function untaken(slot) {
        return ads.filter(function (ad) {
          return ad.opened_ == opened && !ad.isTaken_ && (!slot || ad.slot_ == slot);
        })[0];
      }

      opened.discard = function () {
        giveBack(opened);
      };

      opened.play = function (video, options) {
        var content = options && options.content, stage;

        function next() {
          var ad = untaken(), file;
          if (!ad) return;
          if (ad.isExpired_()) {
            end(ad, DROPPED);
            return next();
          }
          file = ad.slot_.ad.media.filter(function (file) {
            return !file.mimeType || video.canPlayType(file.mimeType);
          })[0];
          if (!file) {
            end(ad, FAILED, 403);
            return next();
          }
          stage = stage || takeStage(video, content);
          return stage.taken_.then(function () {
            // While the content was put away, much may have happened.
            if (!ad.isTaken_ && !ad.isExpired_()) return playAd(ad, file.url);
            end(ad, DROPPED);
          }).then(function (how) {
            if (how == BLOCKED) throw failure("play_not_allowed");
            if (how != REPLACED) return next();
            giveBack(opened);
            stage.abandon_();
            stage = null;
          });
        }

        function playAd(ad, url) {
          return new Promise(function (resolve) {
            ad.isTaken_ = true;
            video.loop = false; // A video that loops never ends.
            video.src = url;
            var src = video.src, promise;
            function isReplaced() {
              return video.src != src || video.srcObject;
            }
            current = watch(ad, video, null, function (how) {
              current = null;
              if (isReplaced()) how = REPLACED;
              if (how == BLOCKED) ad.isTaken_ = false;
              else end(ad, how > SKIPPED ? FAILED : how, how);
              resolve(how);
            }, isReplaced);
            core[BEGIN](ad.place_, now(), look(video));
            promise = video.play(); // undefined before Chromium 50
            if (promise) {
              promise.catch(function (error) {
                if (error.name == "NotAllowedError") ad.finish_(BLOCKED);
              });
            }
          });
        }

        function over(error) {
          return Promise.resolve(stage && stage.restore_()).then(function () {
            isPlaying = false;
            tell(BREAK_END, opened);
            flush();
            if (error) throw error;
          });
        }

        return Promise.resolve().then(function () {
          mustLive();
          if (isPlaying) throw failure("break_playing");
          isPlaying = true;
          tell(0, opened);
          return Promise.resolve().then(next).then(over, over);
        });
      };

      opened.observe = function (video, slotIndex, span) {
        var slot = opened.slots[slotIndex], ad;
        mustLive();
        if (!slot || !slot.ad) throw badArgument("slotIndex");
        ad = untaken(slot);
        if (!ad) throw failure("slot_taken", "slotIndex");
        ad.isTaken_ = true;
        watch(ad, video, span, function (how) {
          if (how || ad.hasBegun_) end(ad, how > SKIPPED ? FAILED : how, how);
          else ad.isTaken_ = ad.isClosed_;
        });
        return controls({
          stop: function () {
            ad.finish_(DROPPED);
          }
        }, function () {
          return ad;
        });
      };

      return controls(opened, function () {
        return current;
      });
    }

    /** What can be done to an ad in play. */
    function controls(of, current) {
      function finish(how) {
        var ad = current();
        if (ad) ad.finish_(how);
      }
      of.skip = function () {
        finish(SKIPPED);
      };
      of.error = function (code) {
        finish(code || 400);
      };
      of.click = function () {
        var ad = current();
        if (ad && !ad.isClosed_) follow(ad, core[ACT](ad.place_, now(), CLICKED, 0));
        return ad && (ad.slot_.ad.clickThrough || "").replace(/^\/v1\//, edgeUrl) || null;
      };
      return of;
    }

    // --- Watching a video

    /** Looks at an ad until it has finished; then calls `then` with how. With `isReplaced` it is a file that we play. */
    function watch(ad, video, span, then, isReplaced) {
      var startMs = span && span.startTime * 1000 || 0;
      var durationMs = span && span.endTime * 1000 - startMs || ad.slot_.ad.durationMs;
      var interval = setInterval(peek, 1000), stops = [];
      listen(stops, video, "loadedmetadata playing timeupdate pause seeking seeked ratechange volumechange waiting ended error emptied",
        peek);
      listen(stops, document, "fullscreenchange webkitfullscreenchange visibilitychange", peek);

      function extent() {
        core[EXTENT](ad.place_, span ? durationMs : video.duration * 1000, span ? 1 : 0);
      }
      if (!isReplaced) extent();

      function peek(event) {
        var type = (event || "").type, code = (video.error || "").code, due;
        var positionMs = video.currentTime * 1000 - startMs;
        if (isReplaced && isReplaced()) return ad.finish_(REPLACED);
        // Somebody else's file is gone, and what comes is another.
        if (type == "emptied" && !isReplaced && ad.hasBegun_) return ad.finish_(DROPPED);
        if (type == "loadedmetadata") extent();
        // Subtitles and sources inside of the video fail, too, and it plays all the same.
        if (type == "error" && event.target == video && (!span || positionMs >= 0 && positionMs < durationMs)) {
          return ad.finish_(code == 3 ? 405 : code == 4 ? 401 : 400);
        }
        // By the time that we hear of a jump, the video may have arrived.
        due = core[LOOK](ad.place_, now(), positionMs, video.playbackRate, look(video) | (type == "seeking") * 2);
        if (due) follow(ad, due);
        if (isReplaced && due & STALLED) ad.finish_(402);
        // Not where the event says so: it may be heard late, of the file before.
        if (isReplaced && video.ended) ad.finish_(DROPPED);
      }

      ad.finish_ = function (how) {
        ad.finish_ = noop;
        clearInterval(interval);
        callAll(stops);
        then(how);
      };
      return ad;
    }

    schedule();

    return {
      sessionId: sessionId,
      get beacons() {
        return { waiting: waiting(), overflowed: core[COUNT](LOST, 0), refused: core[COUNT](REFUSED, 0) };
      },
      requestBreak: function (options) {
        var held = prefetched;
        function again() {
          return ask(options);
        }
        if (!held || held.key_ != JSON.stringify(options)) return again();
        prefetched = null;
        return held.answer_.then(function (opened) {
          if (!ads.some(function (ad) {
            return ad.opened_ == opened && ad.isExpired_();
          })) return opened;
          giveBack(opened);
          return again();
        }, again);
      },
      prefetchBreak: function (options) {
        if (prefetched) prefetched.answer_.then(giveBack, noop);
        prefetched = { key_: JSON.stringify(options), answer_: ask(options) };
        return prefetched.answer_.then(noop);
      },
      adoptBreak: function (answer) {
        mustLive();
        return open(parse(JSON.stringify(answer)), now(), Date.now());
      },
      on: function (name, handler) {
        if (events.indexOf(name) < 0) throw badArgument("name");
        handlers = handlers.concat([[name, handler]]);
      },
      off: function (name, handler) {
        handlers = handlers.filter(function (held) {
          return held[0] != name || held[1] != handler;
        });
      },
      flush: flush,
      interacted: interacted,
      destroy: function () {
        if (isDestroyed) return;
        isDestroyed = true;
        drop(Object); // all of them
        handlers = [];
        // Sent by request, since only that is acknowledged; should the page go as well, the browser gets what is left then.
        pace(HURRIES);
        schedule();
      }
    };
  }

  // --- The video

  /** What there is to see, as bits. */
  function look(video) {
    var full = document.fullscreenElement || document.webkitFullscreenElement, box = video.getBoundingClientRect();
    var width = Math.min(box.right, innerWidth) - Math.max(box.left, 0);
    var height = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0);
    var isInView = !document.hidden && width > 0 && height > 0 && width * height * 2 >= box.width * box.height;
    return video.paused | video.seeking * 2 | video.ended * 4 | (video.muted || !video.volume) * 8 |
      (full && full.contains(video)) * 16 | document.hidden * 128 |
      // In a frame, nobody can tell what of the frame is in view.
      (self != top ? 64 : isInView * 32);
  }

  /** Puts the video's content away for the ads. */
  function takeStage(video, content) {
    var stream = video.srcObject, src = video.getAttribute("src"), position = video.currentTime, rate = video.playbackRate;
    var wasPlaying = !video.paused && !video.ended, loop = video.loop;
    function abandon() {
      video.loop = loop;
    }
    if (!content && stream) video.srcObject = null;
    return {
      taken_: Promise.resolve(content && content.suspend()),
      abandon_: abandon,
      restore_: function () {
        abandon();
        return new Promise(function (resolve) {
          // However long the content takes to open again, and whatever happens, the break is over.
          var timer = setTimeout(content ? resolve : opened, 1e4), stops = [];
          if (content) return Promise.resolve().then(function () {
            return content.resume();
          }).then(resolve, resolve);
          listen(stops, video, "loadedmetadata error", opened);
          function opened(event) {
            if (event && event.target != video) return;
            clearTimeout(timer);
            callAll(stops);
            resolve();
            if (position) video.currentTime = position;
            var promise = wasPlaying && video.play();
            if (promise) promise.catch(noop); // which tells the app nothing it does not see on the element
          }
          if (src == null || stream) video.removeAttribute("src");
          if (stream) video.srcObject = stream;
          else if (src == null) video.load();
          else video.src = src;
          video.playbackRate = rate;
          if (!position && !wasPlaying) opened();
        });
      }
    };
  }

  var Slotkeeper = { init: init, AdClient: { load: load } };
  // A page's element of that name has no exports.
  if (typeof module == "object" && module.exports) module.exports = Slotkeeper;
  else window.Slotkeeper = Slotkeeper;
})();
