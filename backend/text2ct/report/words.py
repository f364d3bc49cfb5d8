"""The words that all kinds of finding share: denial, doubt, change, severity, places, numbers.

Kept apart from the table of kinds because a word such as "no" or "bilateral" means
the same whatever it is said of. Phrases follow the small language of `vocabulary`.
Where the report writer needs words too, it takes them from here, the last of each
list being kept for its held-out reports.
"""

from __future__ import annotations

from collections.abc import Mapping

from .finding import Lobe, Severity, Side


def bag(text: str) -> frozenset[str]:
    """The words of a text, to look words up in."""
    return frozenset(text.split())


SIDES: Mapping[str, Side] = {
    "right": "right", "rt": "right", "rightward": "right", "rightwards": "right", "left": "left", "lt": "left",
    "leftward": "left", "leftwards": "left", "bilateral": "bilateral", "bilaterally": "bilateral",
    "bilat": "bilateral", "both": "bilateral", "bibasal": "bilateral", "bibasilar": "bilateral",
    "biapical": "bilateral", "bihilar": "bilateral", "all": "bilateral", "r": "right", "l": "left"}
LEVELS = {"upper": "upper", "middle": "middle", "mid": "middle", "lower": "lower"}
LOBE_CODES: Mapping[str, Lobe] = {"rul": "RUL", "rml": "RML", "rll": "RLL", "lul": "LUL", "lll": "LLL",
                                  "lingula": "lingula", "lingular": "lingula"}
LOBE_OF: Mapping[tuple[str, str], Lobe] = {
    ("right", "upper"): "RUL", ("right", "middle"): "RML", ("right", "lower"): "RLL",
    ("left", "upper"): "LUL", ("left", "middle"): "lingula", ("left", "lower"): "LLL"}
SIDE_OF: Mapping[Lobe, Side] = {"RUL": "right", "RML": "right", "RLL": "right", "LUL": "left", "lingula": "left",
                                "LLL": "left"}
LOBE_ORDER: tuple[Lobe, ...] = ("RUL", "RML", "RLL", "LUL", "lingula", "LLL")
LOBE_NAMES: Mapping[tuple[Lobe, ...], tuple[str, ...]] = {
    ("RUL",): ("right upper lobe", "RUL", "upper lobe of the right lung", "right lung upper lobe"),
    ("RML",): ("right middle lobe", "RML", "middle lobe of the right lung", "middle lobe"),
    ("RLL",): ("right lower lobe", "RLL", "lower lobe of the right lung", "right lung lower lobe"),
    ("LUL",): ("left upper lobe", "LUL", "upper lobe of the left lung", "left lung upper lobe"),
    ("lingula",): ("lingula", "lingular segment", "lingular segment of the left upper lobe"),
    ("LLL",): ("left lower lobe", "LLL", "lower lobe of the left lung", "left lung lower lobe"),
    ("RUL", "LUL"): ("both upper lobes", "upper lobes", "upper lobes of both lungs"),
    ("RLL", "LLL"): ("both lower lobes", "lower lobes", "lower lobes of both lungs"),
    ("RUL", "RML"): ("right upper and middle lobes", "upper and middle lobes of the right lung"),
    ("RML", "RLL"): ("right middle and lower lobes", "middle and lower lobes of the right lung"),
    ("RUL", "LLL"): ("right upper and left lower lobes", "right upper lobe and the left lower lobe"),
    ("LUL", "LLL"): ("left upper and lower lobes", "upper and lower lobes of the left lung")}
SEGMENT_LEVELS = {"posterobasal": "lower", "laterobasal": "lower", "mediobasal": "lower", "anterobasal": "lower",
                  "posterolaterobasal": "lower", "apicoposterior": "left upper", "apicoposteriorly": "left upper",
                  "anteromediobasal": "lower", "posteromediobasal": "lower", "anterolaterobasal": "lower",
                  "mediobasilar": "lower", "posterobasilar": "lower", "laterobasilar": "lower",
                  "anterobasilar": "lower"}
NUMBERED_SEGMENTS = {str(n): "upper" if n <= 3 else "middle" if n <= 5 else "lower" for n in range(1, 11)}
COMPARED_SIDES = bag("greater more larger bigger less smaller > < = than")
SEGMENT_WORDS = bag("apical anterior posterior superior inferior medial lateral basal segment segmental subsegment "
                    "apicoposterior posterobasal laterobasal mediobasal anterobasal")
SIDE_NOUNS = bag("lung hemithorax side apex base hilum hilar zone field chest costophrenic basal apical "
                 "hemidiaphragm parenchyma lobe upper middle mid lower pleural cavity axilla axillary region "
                 "pulmonary perihilar breast kidney adrenal")
CHAMBERS = bag("ventricle ventricular atrium atrial coronary heart main")
NOT_LUNG_SIDED = bag("ventricle ventricular atrium atrial kidney renal coronary subclavian jugular carotid "
                     "brachiocephalic thyroid liver hepatic adrenal breast heart quadrant vertebral")
STATIONS: Mapping[str, str] = {
    "paratracheal": "paratracheal", "subcarinal": "subcarinal", "hilar": "hilar", "hilum": "hilar",
    "mediastinal": "mediastinal", "mediastinum": "mediastinal", "prevascular": "prevascular", "axilla": "axillary",
    "axillary": "axillary", "supraclavicular": "supraclavicular", "aortopulmonary": "aortopulmonary",
    "paraesophageal": "paraesophageal", "paraaortic": "paraaortic", "carinal": "subcarinal",
    "infracarinal": "subcarinal", "cardiophrenic": "cardiophrenic", "pretracheal": "pretracheal",
    "precarinal": "pretracheal", "interlobar": "interlobar", "peribronchial": "hilar"}

SEVERITIES: Mapping[Severity, tuple[str, ...]] = {
    "small": ("small", "minimal", "tiny", "trace", "minor", "thin", "mild", "slight", "little", "discrete", "subtle",
              "early", "minimally", "mildly", "slightly", "faint", "millimetric", "milimetric", "subcentimeter",
              "subcentimetric", "small amount|volume|sized", "low grade", "slightly more", "punctate", "scant",
              "thinly"),
    "moderate": ("moderate", "medium", "intermediate", "moderately", "moderate sized|amount", "mild to moderate",
                 "small to moderate", "medium sized", "moderately severe", "mild moderate", "small moderate"),
    "large": ("large", "massive", "extensive", "huge", "severe", "marked", "advanced", "pronounced", "voluminous",
              "substantial", "heavy", "heavily", "severely", "markedly", "massively", "extensively", "gross", "florid",
              "giant", "big", "moderate to large|severe", "moderate severe", "large amount|volume|sized", "sizable",
              "considerable")}
SIZE_WORDS: Mapping[Severity, tuple[str, ...]] = {
    "small": ("small", "minimal", "tiny", "trace", "minor"),
    "moderate": ("moderate", "moderate-sized", "medium-sized"),
    "large": ("large", "extensive", "massive", "huge")}
DEGREE_WORDS: Mapping[Severity, tuple[str, ...]] = {
    "small": ("mild", "slight", "minimal", "early", "discrete"),
    "moderate": ("moderate", "moderately severe"),
    "large": ("severe", "marked", "advanced", "extensive", "pronounced")}
NOT_A_SEVERITY_OF = bag("airway vessel bowel bronchus intestine fissure branch")

DENSITIES: Mapping[str, tuple[str, ...]] = {
    "solid": ("solid", "non calcified", "noncalcified"),
    "ground glass": ("ground glass", "frosted glass", "groundglass", "ggo", "ggn", "hazy", "haziness", "nonsolid",
                     "non solid", "crazy paving"),
    "part-solid": ("part solid", "partly|partially solid", "semisolid", "semi solid", "mixed density", "subsolid",
                   "sub solid", "partsolid", "mixed ground glass", "ground glass component|halo|rim"),
    "calcified": ("calcified", "calcific", "calcification", "calcium"),
    "cavitary": ("cavitary", "cavitating", "cavitated", "cavitation", "cavity", "excavated"),
    "fat": ("fat", "fatty", "fat containing"),
    "fluid": ("fluid", "cystic", "fluid density")}
MARGINS: Mapping[str, tuple[str, ...]] = {
    "smooth": ("smooth", "well defined", "well circumscribed", "circumscribed", "smoothly marginated", "regular",
               "sharply defined|demarcated", "well demarcated", "smooth contour"),
    "lobulated": ("lobulated", "lobular", "lobulation", "lobulating", "lobule contoured"),
    "spiculated": ("spiculated", "spicular", "spiculation", "irregular spiculated", "spicule", "speculated"),
    "irregular": ("irregular", "ill defined", "poorly defined", "indistinct")}
CHANGES: Mapping[str, tuple[str, ...]] = {
    "unchanged": ("unchanged", "stable", "no interval|significant|further|other|appreciable change|difference",
                  "no significant interval? change", "no change", "without change",
                  "without interval|significant change", "not ~ changed", "persistent", "persisting", "persists",
                  "no increase|decrease|progression|regression|growth",
                  "no interval|significant|further|appreciable increase|decrease|progression|regression|growth",
                  "similar to|in", "constant", "has not ~ changed", "remains|remain ~ stable|unchanged", "stability"),
    "increased": ("increased", "increasing", "increase", "progressed", "progression", "progressive", "grown",
                  "growth", "larger than before|previous|previously|prior", "larger compared", "enlarging",
                  "worsened", "worsening", "has grown", "expanded", "worse"),
    "decreased": ("decreased", "decreasing", "decrease", "improved", "improving", "improvement", "regressed",
                  "regression", "reduced", "reduction", "smaller than before|previous|previously|prior",
                  "smaller compared", "partially|nearly|incompletely resolved",
                  "partial ~ resolution|clearing|regression", "resolving", "almost|nearly ~ resolved|cleared",
                  "near|partial|incomplete resolution|disappearance|clearance",
                  "clearing", "near|nearly|almost complete ~ resolution|clearing|regression",
                  "nearly completely resolved", "diminished"),
    "new": ("not ~ seen|present|observed|visible previously|before", "not ~ seen|present on|in prior|previous", "new",
            "newly", "newly developed|appeared", "interval development|appearance", "recently developed", "de novo")}

COUNTS: Mapping[str, int] = {
    "single": 1, "solitary": 1, "one": 1, "isolated": 1, "two": 2, "couple": 2, "pair": 2, "three": 3, "four": 4,
    "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "few": 3, "several": 4, "multiple": 5,
    "many": 8, "numerous": 10, "innumerable": 20, "countless": 20}

NO_BEFORE = ("no", "do|did|can|could not see|identify|detect|find|appreciate", "cannot see|identify|detect|find",
             "without", "absence of", "negative for", "free of", "clear of", "free from", "neither", "nor",
             "no evidence|sign|suggestion|indication|finding|trace of|for?", "no longer evidence of", "devoid of",
             "never", "denies", "rather than", "lack of", "ruled out", "excluding", "nil", "not have|show|contain",
             "do not show|contain|demonstrate|reveal", "not show|demonstrate|reveal|contain", "fails to show",
             "none of",
             "no definite|obvious|significant|new|focal|acute|appreciable|convincing|gross|suspicious|large",
             "resolution of", "complete|interval resolution|clearance of", "resolution|disappearance of",
             "removal of", "there is|are no longer", "complete clearing of", "no more", "zero", "resolved",
             "not evidence of",
             "not suspicious|suggestive|concerning|worrisome|indicative|typical|compatible for|of|with")
NO_AFTER = ("not ~ seen|observed|detected|identified|noted|found|present|evident|demonstrated|visualized|visible|shown",
            "not ~ appreciated|depicted|apparent|encountered|monitored|revealed|recognized|exist|developed|visualised",
            "not ~ included|available|noticed|discernible|distinguished|selected|watched|determined|there|suspected",
            "absent", "none", "nil", "negative", "resolved", "cleared", "disappeared", "ruled out", "excluded",
            "no longer ~ seen|present|visible|evident|identified|observed|detected|demonstrated|there", "no longer",
            "removed", "withdrawn", "regressed completely", "completely regressed", "gone", "clear", "undetected",
            "unlikely to")
DOUBT_BEFORE = ("possible", "possibly", "probable", "probably", "likely", "suspicious for|of|in", "suspicion of|for",
                "suspected", "suspect", "questionable", "question of", "query",
                "may ~ represent|be|reflect|indicate|suggest", "might ~ represent|be|reflect",
                "could ~ represent|be|reflect|indicate", "can ~ represent", "not|cannot ~ exclude",
                "not|cannot ~ rule out", "versus", "vs", "differential", "differential diagnosis", "concerning for",
                "worrisome for", "suggestive of|for", "suggesting", "suggest", "suggests", "equivocal", "presumed",
                "presumably", "possibility of", "?", "favor", "favoring", "favored", "may", "might", "maybe",
                "perhaps", "concern for", "raises|raising ~ possibility|suspicion|question|concern of|for",
                "cannot|not ~ differentiated|distinguished from", "potential", "potentially", "conceivably",
                "thought to be|represent", "felt to be|represent", "doubtful", "unclear",
                "indeterminate for", "unlikely",
                "less likely",
                "suspicious", "could")
DOUBT_AFTER = ("could not ~ excluded", "could not ~ ruled out", "cannot|not ~ excluded", "cannot|not ~ ruled out",
               "suspected", "possible", "questionable", "likely", "probable", "?", "in differential diagnosis?",
               "considered", "unlikely", "less likely", "suspicious", "equivocal", "versus", "vs", "not certain",
               "favored", "favored over", "more likely than", "remains ~ possibility|consideration",
               "is|are ~ possibility|consideration", "is|are ~ in differential", "not definite", "not sure",
               "uncertain",
               "doubtful")
UNJUDGED_AFTER = ("cannot|not ~ evaluated|assessed|judged|examined|interpreted|commented|ascertained",
                  "not evaluable|assessable|interpretable", "unevaluable", "nonassessable",
                  "poorly|suboptimally|incompletely|inadequately ~ evaluated|assessed",
                  "difficult|hard|impossible to evaluate|assess|judge|comment",
                  "beyond evaluation|assessment", "outside field|scan",
                  "not ~ included in field|scan|examination|study")
UNJUDGED_BEFORE = ("cannot|not ~ evaluate|assess|comment for|on?", "unable to evaluate|assess|comment",
                   "limited|suboptimal|inadequate|nondiagnostic evaluation|assessment|sensitivity of|for",
                   "limit|limiting|preclude|precluding|prevent|preventing|hamper|hampering|impair|obscure|degrade"
                   " ~ evaluation|assessment|detection|exclusion of|for")
UNJUDGED_AROUND = ("evaluation|assessment|detection of|for ~ limited|suboptimal|precluded|impossible|possible"
                   "|inadequate|hampered|degraded|difficult",)
KNOWN_THOUGH_UNJUDGED = bag("size extent margin change growth progression regression nature etiology cause character "
                            "stability comparison dimension volume origin activity content")
SURE_THOUGH_DOUBTFUL = ("possibly|probably|likely benign|malignant|reactive|related|secondary|due|infectious|chronic",
                        "likely|probably|possibly postinfectious|sequela|postoperative|metastatic|inflammatory",
                        "likely|probably|possibly of", "suspicious nodule|lesion|mass|pulmonary|lung",
                        "suspicious ~ nodule|lesion|mass", "in favor of heart|left|right", "suspicious appearance")

ENDS_SCOPE = bag("but however although though except apart yet while whereas still nevertheless save despite besides "
                 "instead otherwise ; :")
ENDING_PHRASES = ("other than", "there is|are|was|were", "aside from", "as well as a", "in addition", "secondary to",
                  "due to", "accompanied by", "because of", "on the other hand")
JOINERS = bag(", and or nor / & plus with")
ALTERNATIVES = bag("or nor /")
PREDICATES = bag("seen observed detected identified noted found present evident demonstrated visualized visible "
                 "shown measuring measures measured measure is are was were show demonstrate contain reveal has have")
RELATED = bag("adjacent associated accompanying underlying compressive passive overlying surrounding adjoining "
              "neighboring secondary relaxation resultant residual distal postobstructive obstructive "
              "ipsilateral perilesional")
RIGHT_THERE = bag("surrounding perilesional traction adjoining intralesional")
CAUSES = bag("with typical characteristic due secondary keeping suggesting")
EXPLAINS = bag("represent representing reflect reflecting likely possibly probably compatible consistent suggesting "
               "suggestive favor favored versus vs indicating concerning suspicious")
HEALTHY = bag("clear normal unremarkable")
OPENERS = bag("a an there also additional another this these")
OTHERS = bag("other additional further others")
TOUCHING = bag("encasing abutting invading compressing obstructing occluding narrowing displacing contacting "
               "infiltrating indenting obliterating stenosing surrounding attached")
NEAR_PREPOSITIONS = bag("in of at on within along inside to involving occupying near throughout affecting")

HISTORY = ("history of", "history", "known case of", "clinical", "presenting with", "presented with",
           "referred for|with", "h o", "followed ~ for|with|due", "treated for", "diagnosed with", "case of",
           "indication", "complaint", "rule out", "evaluate for", "evaluation for", "r o", "to exclude",
           "previous ~ showed|demonstrated",
           "prior|previous|earlier|old ct|examination|study|scan|exam|imaging ~ showed|demonstrated|reported|revealed",
           "patient with", "operated for|due", "to rule out", "for suspected", "assess for", "known with",
           "years|year old", "background of", "underwent", "exclusion of", "request ~ for|to", "requested")
ADVICE = ("recommended", "recommend", "recommends", "advised", "advise", "should be", "is|are suggested",
          "correlation", "recommendation", "is|are warranted", "consider ~ ct|biopsy|follow|pet",
          "suggest follow|further|biopsy|pet|ct|control", "suggested", "warrant", "please", "would be helpful|useful")
ADVICE_STARTS = bag("follow followup followed further correlation biopsy pet recommended recommend recommends "
                    "clinical advised advise consider suggest ct control it correlate please tissue short")
NORMAL_WORDS = bag("normal natural open patent unremarkable clear preserved intact regular normally free none absent "
                   "no not without within average expected ordinary midline central symmetric symmetrical "
                   "homogeneous unobstructed maintained usual physiologic physiological negative aerated")

FOREIGN_ORGANS = bag("breast spleen splenic pancreas pancreatic skin muscle stomach gastric intestine colon brain "
                     "uterus prostate esophagus esophageal gallbladder thymus shoulder parotid salivary abdominal "
                     "vertebra vertebral rib bone sternum humerus scapula neck")
