//! What VAST does not know.

use crate::xml::Element;

/// How many elements under `element` VAST does not know where they stand. What is in such an element, and in those whose
/// content is anybody's, is not looked at.
pub(super) fn unknown(element: &Element) -> usize {
    let Some(known) = known_children(&element.name) else { return 0 };
    let count = |child: &Element| {
        let is_known = !child.is_foreign && known.contains(&child.name.as_str());
        if is_known { unknown(child) } else { 1 }
    };
    element.children.iter().map(count).sum()
}

/// VAST 2.0 to 4.3 together. Of what is not read here (companions, icons, extensions), the content is not listed.
fn known_children(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "VAST" => &["Ad", "Error"],
        "Ad" => &["InLine", "Wrapper"],
        "InLine" => &[
            "AdSystem",
            "AdTitle",
            "AdServingId",
            "Description",
            "Survey",
            "Advertiser",
            "Category",
            "Expires",
            "Pricing",
            "Impression",
            "Error",
            "ViewableImpression",
            "AdVerifications",
            "Creatives",
            "Extensions",
        ],
        "Wrapper" => &[
            "AdSystem",
            "VASTAdTagURI",
            "BlockedAdCategories",
            "Pricing",
            "Impression",
            "Error",
            "ViewableImpression",
            "AdVerifications",
            "Creatives",
            "Extensions",
            "Survey",
        ],
        "Creatives" => &["Creative"],
        "Creative" => &["UniversalAdId", "CreativeExtensions", "Linear", "NonLinearAds", "CompanionAds"],
        "Linear" => &[
            "Duration",
            "MediaFiles",
            "VideoClicks",
            "TrackingEvents",
            "Icons",
            "AdParameters",
            "InteractiveCreativeFile",
        ],
        "MediaFiles" => &["MediaFile", "Mezzanine", "InteractiveCreativeFile", "ClosedCaptionFiles"],
        "VideoClicks" => &["ClickThrough", "ClickTracking", "CustomClick"],
        "TrackingEvents" => &["Tracking"],
        "ViewableImpression" => &["Viewable", "NotViewable", "ViewUndetermined"],
        "AdVerifications" => &["Verification"],
        "Verification" => &[
            "JavaScriptResource",
            "ExecutableResource",
            "FlashResource",
            "TrackingEvents",
            "VerificationParameters",
            "ViewableImpression",
        ],
        _ => return None,
    })
}
