//! Traffic that is not a viewer's: known by what it says of itself.
//!
//! The list is that of the npm package `crawler-user-agents`, which its maintainers renew several times a year; `cargo
//! xtask crawlers` brings it here. It finds those who do not hide: the "general" invalid traffic of the IAB's and the
//! MRC's guidelines, by the user agent alone. Who says nothing of itself is not suspected, because many players do not.

mod crawlers;

use alloc::vec::Vec;

use self::crawlers::CRAWLERS;
use crate::pod::InvalidTraffic;

/// How much of a user agent is looked at, in bytes. Players' have some two hundred.
const LOOKED_AT_BYTES: usize = 1_024;

impl InvalidTraffic {
    /// What a `User-Agent` header gives away.
    pub fn of_user_agent(user_agent: &[u8]) -> Option<Self> {
        let looked_at = user_agent.len().min(LOOKED_AT_BYTES);
        let mut text = Vec::with_capacity(1 + looked_at);
        text.push(b'^'); // as in the list
        text.extend_from_slice(&user_agent[..looked_at]);
        (0..text.len()).any(|place| begins_with_crawler(&text[place..])).then_some(Self::Crawler)
    }
}

/// Whether `text` begins with an entry of the list. Because none holds another, no other entry can stand between the one
/// that `text` begins with and `text` itself: only the last that is not after it has to be looked at.
fn begins_with_crawler(text: &[u8]) -> bool {
    let after = CRAWLERS.partition_point(|crawler| crawler.as_bytes() <= text);
    after.checked_sub(1).is_some_and(|place| text.starts_with(CRAWLERS[place].as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_crawler(user_agent: &str) -> bool {
        InvalidTraffic::of_user_agent(user_agent.as_bytes()).is_some()
    }

    #[test]
    fn crawlers_and_programs_that_are_no_players_are_found() {
        for user_agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "curl/8.5.0",
            "python-requests/2.31.0",
            "Go-http-client/1.1",
            "Wget/1.21.4",
        ] {
            assert!(is_crawler(user_agent), "{user_agent}");
        }
    }

    #[test]
    fn players_are_not_taken_for_crawlers() {
        for user_agent in [
            "",
            "Roku/DVP-12.5 (12.5.0.4178-C2)",
            "AppleCoreMedia/1.0.0.20K71 (Apple TV; U; CPU OS 16_1 like Mac OS X; en_us)",
            "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV Safari/537.36",
            "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 Safari/537.36 WebAppManager",
            "HbbTV/1.5.1 (+DRM; Philips; 50PUS7008/12; 078.002; Philips; _TV_; com.philips)",
            "Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7233; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/70.0.3538.110 Mobile Safari/537.36 Silk/70",
            "com.example.tv/3.2 (Linux;Android 12) ExoPlayerLib/2.18.1",
            "okhttp/4.12.0",
            "Dalvik/2.1.0 (Linux; U; Android 9; AFTMM Build/PS7233)",
            "Example/1 CFNetwork/1408.0.4 Darwin/22.5.0",
            "Mozilla/5.0 (PlayStation; PlayStation 5/5.10) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
            "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.225 Safari/537.36 CrKey/1.56.500000",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Cobalt/23.lts.4 Starboard/15",
            "not/curl/8.5.0", // which counts at the beginning only
        ] {
            assert!(!is_crawler(user_agent), "{user_agent}");
        }
    }

    #[test]
    fn the_list_is_as_the_search_needs_it() {
        assert!(CRAWLERS.is_sorted_by(|one, next| one.as_bytes() < next.as_bytes()));
        for one in CRAWLERS {
            let holds = |other: &&&str| **other != one && one.contains(**other);
            assert_eq!(CRAWLERS.iter().find(holds), None, "{one} holds another");
        }
    }

    #[test]
    fn a_long_user_agent_is_looked_at_up_to_a_bound() {
        let padded = |len: usize| std::format!("{}Googlebot/2.1", " ".repeat(len));
        assert!(is_crawler(&padded(LOOKED_AT_BYTES - 20)));
        assert!(!is_crawler(&padded(LOOKED_AT_BYTES)));
    }

    proptest! {
        #[test]
        fn whatever_holds_an_entry_is_found_and_nothing_else(
            before in "[ -~]{0,20}", place in any::<prop::sample::Index>(), after in "[ -~]{0,20}", bytes in any::<std::vec::Vec<u8>>(),
        ) {
            let entry = CRAWLERS[place.index(CRAWLERS.len())];
            let text = match entry.strip_prefix('^') {
                Some(first) => std::format!("{first}{after}"),
                None => std::format!("{before}{entry}{after}"),
            };
            prop_assert!(is_crawler(&text), "{}", text);
            let text = std::format!("^{before}{after}");
            prop_assert_eq!(is_crawler(&text[1..]), CRAWLERS.iter().any(|entry| text.contains(entry)));
            let _ = InvalidTraffic::of_user_agent(&bytes);
        }
    }
}
