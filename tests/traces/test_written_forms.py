"""A corpus of the forms in which models write traces, each with the right values: nothing is lost,
and what was mended is named.
"""

import json

import pytest

from covrr_utils.traces.reading import parse_trace, read_trace_text
from covrr_utils.traces.trace import SLOTS, ReasoningTrace, TraceError

TRACE = ReasoningTrace(
    ("red egg", "raw -> fried"),
    ("rolls -> rests",),
    ("kitchen", "day -> night"),
    ("static",),
    ("fast -> slow",),
)

NESTED = {
    "states": [{"before": "red egg", "after": "red egg"}, {"before": "raw", "after": "fried"}],
    "actions": {"before": "rolls", "after": "rests"},
    "scene": {"before": ["kitchen", "day"], "after": ["kitchen", "night"]},
    "camera": {"before": "static", "after": "static"},
    "tempo": {"from": "fast", "to": "slow"},
}

SIDES = {
    "before": {
        "states": ["red egg", "raw"],
        "actions": ["rolls"],
        "scene": ["kitchen", "day"],
        "camera": ["static"],
        "tempo": "fast",
    },
    "after": {
        "states": ["red egg", "fried"],
        "actions": ["rests"],
        "scene": ["kitchen", "night"],
        "camera": ["static"],
        "tempo": "slow",
    },
}

OBJECTS = [
    {"slot": "states", "before": "red egg", "after": "red egg"},
    {"slot": "states", "before": "raw", "after": "fried"},
    {"slot": "actions", "before": "rolls", "after": "rests"},
    {"slot": "scene", "assertions": ["kitchen", "day -> night"]},
    {"slot": "camera", "value": "static"},
    {"slot": "tempo", "initial": "fast", "final": "slow"},
]

FORMS = {
    "numbered bold headings": """1. **States:** red egg; raw -> fried
2. **Actions:** rolls -> rests
3. **Scene:** kitchen; day -> night
4. **Camera:** static
5. **Tempo:** fast -> slow""",
    "numbered bold headings, colon outside, bullets below": """Here is the trace.

1. **States**:
   - red egg
   - raw -> fried

2. **Actions**:
   - rolls -> rests

3. **Scene**:
   - kitchen
   - day -> night

4. **Camera**:
   - static

5. **Tempo**:
   - fast -> slow

Let me know if you need anything else!""",
    "markdown headings with bullets": """### States
- red egg
- raw -> fried

### Actions
- rolls -> rests

### Scene
- kitchen
- day -> night

### Camera
- static

### Tempo
- fast -> slow

### Summary
The egg is fried at night.""",
    "numbered markdown headings with paragraphs": """## Reasoning trace

### 1. States

red egg

raw -> fried

### 2. Actions

rolls -> rests

### 3. Scene

kitchen; day -> night

### 4. Camera

static

### 5. Tempo

fast -> slow""",
    "headings underlined": """States
------
red egg
raw -> fried

Actions
-------
rolls -> rests

Scene
-----
kitchen
day -> night

Camera
------
static

Tempo
-----
fast -> slow""",
    "headings alone on a line": """STATES
red egg
raw -> fried
ACTIONS
rolls -> rests
SCENE
kitchen
day -> night
CAMERA
static
TEMPO
fast -> slow""",
    "bold headings alone": """**States**
* red egg
* raw → fried

**Actions**
* rolls → rests

**Scene**
* kitchen
* day → night

**Camera**
* static

**Tempo**
* fast → slow""",
    "full-width colons and arrows": """States：red egg；raw → fried
Actions：rolls → rests
Scene：kitchen；day → night
Camera：static
Tempo：fast → slow""",
    "full-width letters and arrows": """Ｓｔａｔｅｓ：red egg；raw －＞ fried
Ａｃｔｉｏｎｓ：rolls ＝＞ rests
Ｓｃｅｎｅ：kitchen；day －＞ night
Ｃａｍｅｒａ：static。
Ｔｅｍｐｏ：fast －＞ slow。""",
    "brackets of other languages": """【States】red egg；raw → fried
【Actions】rolls → rests
【Scene】「kitchen」；「day」→「night」
【Camera】“static”
【Tempo】«fast» → «slow»""",
    "circled numbers": """① States：red egg；raw ⇒ fried
② Actions：rolls ⇒ rests
③ Scene：kitchen；day ⇒ night
④ Camera：static
⑤ Tempo：fast ⇒ slow""",
    "a note behind the name": """States (before -> after): red egg; raw -> fried
Actions (before -> after): rolls -> rests
Scene (before -> after): kitchen; day -> night
Camera (before -> after): static
Tempo (before -> after): fast -> slow""",
    "notes of several kinds": """- **States (before → after):** red egg; raw → fried
- **Actions** (what moves): rolls → rests
- **Scene [place, light]**: kitchen; day → night
- **Camera（framing）**： static
- **Tempo** before -> after: fast → slow""",
    "a note on two slots only": """States (before -> after): red egg; raw -> fried
actions: rolls -> rests
scene: kitchen; day -> night
Camera (before -> after): static
tempo: fast -> slow""",
    "names in other words": """Object states: red egg; raw -> fried
Action(s): rolls -> rests
Scene / setting: kitchen; day -> night
Camera movement: static
Tempo & pace: fast -> slow""",
    "other words for slots": """Object states: red egg; raw -> fried
Motion: rolls -> rests
Setting: kitchen; day -> night
Framing: static
Pace: fast -> slow""",
    "a table of sides": """| slot | before | after |
|------|--------|-------|
| states | red egg | red egg |
| | raw | fried |
| actions | rolls | rests |
| scene | kitchen | kitchen |
| scene | day | night |
| camera | static | static |
| tempo | fast | slow |""",
    "a table of assertions": """Here you are:

| **Slot** | **Assertions** |
|:---|:---|
| **States** | red egg; raw → fried |
| **Actions** | rolls → rests |
| **Scene** | kitchen<br>day → night |
| **Camera** | static |
| **Tempo** | fast → slow |

The egg is now fried.""",
    "a table without bars around": """slot | original | edited
--- | --- | ---
states | red egg; raw | red egg; fried
actions | rolls | rests
scene | kitchen; day | kitchen; night
camera | static | unchanged
tempo | fast | slow""",
    "a table with the slots as columns": """| | States | Actions | Scene | Camera | Tempo |
|---|---|---|---|---|---|
| Before | red egg; raw | rolls | kitchen; day | static | fast |
| After | red egg; fried | rests | kitchen; night | static | slow |""",
    "a table of tabs": """slot\tbefore\tafter
states\tred egg; raw\tred egg; fried
actions\trolls\trests
scene\tkitchen; day\tkitchen; night
camera\tstatic\tstatic
tempo\tfast\tslow""",
    "a table of boxes": """│ States │ red egg; raw → fried │
│ Actions │ rolls → rests │
│ Scene │ kitchen; day → night │
│ Camera │ static │
│ Tempo │ fast → slow │""",
    "yaml lists": """```yaml
states:
  - red egg
  - raw -> fried
actions:
  - rolls -> rests
scene:
  - kitchen
  - day -> night
camera:
  - static
tempo:
  - fast -> slow
```""",
    "yaml under a root, with flow lists": """trace:
  states: [red egg, "raw -> fried"]
  actions: ["rolls -> rests"]
  scene: [kitchen, day -> night]
  camera: static
  tempo: fast -> slow""",
    "yaml with sides": """states:
  - red egg
  - before: raw
    after: fried
actions:
  before: rolls
  after: rests
scene:
  - kitchen
  - {before: day, after: night}
camera: static
tempo: {before: fast, after: slow}""",
    "yaml with block scalars": """states: |
  red egg
  raw -> fried
actions: |
  rolls -> rests
scene: >-
  kitchen; day -> night
camera: |
  static
tempo: |
  fast -> slow""",
    "yaml by sides": """before:
  states: red egg; raw
  actions: rolls
  scene: kitchen; day
  camera: static
  tempo: fast
after:
  states: red egg; fried
  actions: rests
  scene: kitchen; night
  camera: static
  tempo: slow""",
    "headings by sides": """## Before the edit
**States:** red egg; raw
**Actions:** rolls
**Scene:** kitchen; day
**Camera:** static
**Tempo:** fast

## After the edit
**States:** red egg; fried
**Actions:** rests
**Scene:** kitchen; night
**Camera:** static
**Tempo:** slow""",
    "sides within headings": """### States
Before: red egg; raw
After: red egg; fried
### Actions
**Before:** rolls
**After:** rests
### Scene
Before:
- kitchen
- day
After:
- kitchen
- night
### Camera
Before: static, after: static
### Tempo
Before: fast → After: slow""",
    "sides as notes": """States: red egg; raw (before) -> fried (after)
actions: before: rolls, after: rests
scene: kitchen; from: day, to: night
camera: static
tempo: initial: fast; final: slow""",
    "toml": """[states]
values = ["red egg", "raw -> fried"]
[actions]
before = "rolls"
after = "rests"
[scene]
values = ["kitchen", "day -> night"]
[camera]
value = "static"
[tempo]
before = "fast"
after = "slow\"""",
    "assignments": """states = ["red egg", "raw -> fried"]
actions = ["rolls -> rests"]
scene = ["kitchen", "day -> night"]
camera = ["static"]
tempo = ["fast -> slow"]""",
    "json with sides": json.dumps(NESTED),
    "json by sides": json.dumps(SIDES, indent=2),
    "json objects in a list": json.dumps(OBJECTS),
    "json in a wrapper": json.dumps({"reasoning": "It is heated.", "trace": NESTED}),
    "json strings": json.dumps({slot: "; ".join(getattr(TRACE, slot)) for slot in SLOTS}),
    "json with marked keys": json.dumps(
        dict(
            zip(
                ("1. States", "Actions", "scene_setting", "Camera Movement", "TEMPO"),
                TRACE.to_dict().values(),
            )
        )
    ),
    "json with single quotes": str(TRACE.to_dict()),
    "json without quotes around keys": """{states: ["red egg", "raw -> fried"],
actions: ["rolls -> rests"], scene: ["kitchen", "day -> night"], camera: ["static"],
tempo: ["fast -> slow"]}""",
    "json without braces": json.dumps(TRACE.to_dict(), indent=1)[1:-1],
    "json in a sentence": f"The trace is {json.dumps(TRACE.to_dict())}, as asked.",
    "json after {braces}": f"Use {{slot}}: {json.dumps(TRACE.to_dict())}",
    "json lines": "\n".join(json.dumps({slot: list(getattr(TRACE, slot))}) for slot in SLOTS),
    "tags": """<trace>
<states>red egg; raw -> fried</states>
<actions>rolls -> rests</actions>
<scene>kitchen; day -> night</scene>
<camera>static</camera>
<tempo>fast -> slow</tempo>
</trace>""",
    "tags on one line": "<States>red egg; raw → fried</States><Actions>rolls → rests</Actions>"
    "<Scene>kitchen; day → night</Scene><Camera>static</Camera><Tempo>fast → slow</Tempo>",
    "tags with items and sides": """<states>
  <item>red egg</item>
  <item>raw -&gt; fried</item>
</states>
<actions><before>rolls</before><after>rests</after></actions>
<scene><li>kitchen</li><li>day -> night</li></scene>
<camera value="static">static</camera>
<tempo before="fast" after="slow"/>""",
    "tags with the slot as an attribute": """<slot name="states">red egg; raw -> fried</slot>
<slot name="actions">rolls -> rests</slot>
<slot name="scene">kitchen; day -> night</slot>
<slot name="camera">static</slot>
<slot name="tempo">fast -> slow</slot>""",
    "bold slots without a colon": """**States** red egg; raw -> fried
**Actions** rolls -> rests
**Scene** kitchen; day -> night
**Camera** static
**Tempo** fast -> slow""",
    "dashes behind the names": """States - red egg; raw -> fried
Actions – rolls -> rests
Scene — kitchen; day -> night
**Camera** — static
**Tempo** - fast -> slow""",
    "arrows behind the names": """states -> red egg; raw -> fried
actions -> rolls -> rests
scene -> kitchen; day -> night
camera -> static
tempo -> fast -> slow""",
    "numbered lists": """States:
1. red egg
2. raw -> fried
Actions:
1. rolls -> rests
Scene:
1) kitchen
2) day -> night
Camera:
1. static
Tempo:
1. fast -> slow""",
    "numbered within a line": """States: 1) red egg 2) raw -> fried
actions: (1) rolls -> rests
scene: (1) kitchen (2) day -> night
camera: 1. static
tempo: fast -> slow""",
    "bullets within a line": """states: red egg • raw → fried
actions: rolls → rests
scene: kitchen | day → night
camera: static
tempo: fast → slow""",
    "all in one line": "states: red egg; raw -> fried; actions: rolls -> rests; scene: kitchen;"
    " day -> night; camera: static; tempo: fast -> slow",
    "all in one line, with bars": "**States:** red egg; raw → fried | **Actions:** rolls →"
    " rests | **Scene:** kitchen; day → night | **Camera:** static | **Tempo:** fast → slow",
    "all in one sentence": "After the edit, States: red egg; raw -> fried. Actions: rolls ->"
    " rests. Scene: kitchen; day -> night. Camera: static. Tempo: fast -> slow.",
    "thoughts first": """<think>
The egg gets hot. states: raw egg -> ? Let me see.
camera: maybe panning
</think>

states: red egg; raw -> fried
actions: rolls -> rests
scene: kitchen; day -> night
camera: static
tempo: fast -> slow""",
    "the form first, then the trace": """states:
actions:
scene:
camera:
tempo:

states: red egg; raw -> fried
actions: rolls -> rests
scene: kitchen; day -> night
camera: static
tempo: fast -> slow""",
    "quoted": """> **States:** red egg; raw -> fried
> **Actions:** rolls -> rests
> **Scene:** kitchen; day -> night
> **Camera:** static
> **Tempo:** fast -> slow""",
    "emphasis on the values": """- States: **red egg**; *raw* -> **fried**
- Actions: `rolls` -> `rests`
- Scene: _kitchen_; "day" -> "night"
- Camera: **static**.
- Tempo: fast -> **slow**""",
    "pictures before the names": """🥚 States: red egg; raw ➜ fried
🏃 Actions: rolls ➜ rests
🌆 Scene: kitchen; day ➡️ night
🎥 Camera: static
⏱️ Tempo: fast ➔ slow""",
    "long and LaTeX arrows": r"""states: red egg; raw --> fried
actions: rolls ==> rests
scene: kitchen; day $\rightarrow$ night
camera: static
tempo: fast \to slow""",
    "spaces of other kinds": "states :\u00a0red egg;\u00a0raw -> fried\r\nactions\u3000: rolls ->"
    " rests\r\nscene : kitchen;day->night\r\ncamera:static\r\ntempo:\tfast->slow\r\n",
    "an introduction below a heading": """**States:**
The following states change after the edit:
- red egg
- raw -> fried
**Actions:** rolls -> rests
**Scene:** kitchen; day -> night
**Camera:** static
**Tempo:** fast -> slow""",
    "steps": """Step 1 - States: red egg; raw -> fried
Step 2 - Actions: rolls -> rests
Step 3 - Scene: kitchen; day -> night
Step 4 - Camera: static
Step 5 - Tempo: fast -> slow""",
    "html": """<h3>States</h3><p>red egg; raw &rarr; fried</p>
<h3>Actions</h3><p>rolls &rarr; rests</p>
<h3>Scene</h3><ul><li>kitchen</li><li>day &rarr; night</li></ul>
<h3>Camera</h3><p><b>static</b></p>
<h3>Tempo</h3><p>fast &rarr; slow</p><p>I hope this helps!</p>""",
    "html with bold names": "<b>States:</b> red egg; raw → fried<br><b>Actions:</b> rolls →"
    " rests<br><b>Scene</b>: kitchen; day → night<br><b>Camera</b> static<br>"
    "<b>Tempo:</b> fast → slow",
    "an html table": """<table><tr><th>slot</th><th>before</th><th>after</th></tr>
<tr><td>states</td><td>red egg; raw</td><td>red egg; fried</td></tr>
<tr><td>actions</td><td>rolls</td>
<td>rests</td></tr><tr><td>scene</td><td>kitchen; day</td><td>kitchen; night</td></tr>
<tr><td>camera</td><td>static</td><td></td></tr>
<tr><td>tempo</td><td>fast</td><td>slow</td></tr></table>""",
    "names for each side": """States (before): red egg; raw
States (after): red egg; fried
Actions (before): rolls
Actions (after): rests
Scene (before): kitchen; day
Scene (after): kitchen; night
Camera: static
Tempo (before): fast
Tempo (after): slow""",
    "json names for each side": json.dumps(
        {
            f"{slot}_{side}": values
            for side, slots in SIDES.items()
            for slot, values in slots.items()
        }
    ),
    "json in json": json.dumps({"answer": json.dumps(TRACE.to_dict())}),
    "lines in json": json.dumps({"trace": "Trace:\n" + TRACE.text()}),
    "framed headings": """=== States ===
red egg
raw -> fried
== Actions ==
rolls -> rests
--- Scene ---
kitchen
day -> night
## Camera ##
static
*** Tempo ***
fast -> slow""",
    "tabs behind the names": "states\tred egg; raw -> fried\nactions\trolls -> rests\nscene\t"
    "kitchen; day -> night\ncamera\tstatic\ntempo\tfast -> slow",
    "what changes and what stays": json.dumps(
        {
            "unchanged": {"states": ["red egg"], "scene": ["kitchen"], "camera": ["static"]},
            "changes": [
                {"slot": "states", "from": "raw", "to": "fried"},
                {"slot": "actions", "from": "rolls", "to": "rests"},
                {"slot": "scene", "from": "day", "to": "night"},
                {"slot": "tempo", "from": "fast", "to": "slow"},
            ],
        }
    ),
    "prose behind the fence": """```
states: red egg; raw -> fried
actions: rolls -> rests
scene: kitchen; day -> night
camera: static
tempo: fast -> slow
```
I hope this helps.""",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_and_loses_nothing(name):
    written = read_trace_text(FORMS[name])
    assert written.trace == TRACE
    assert written.repairs and not written.trace.missing() and not written.valid
    assert parse_trace(written.trace.text()) == TRACE


@pytest.mark.parametrize(
    "text, states",
    [
        ("states: -5 degrees -> 20 degrees", ("-5 degrees -> 20 degrees",)),
        ("states: 5 -> -20; ice", ("5 -> -20", "ice")),
        ("States:\n- -5 °C → -20 °C\n- ice", ("-5 °C -> -20 °C", "ice")),
        ("- **States**: **-5** → *-20*", ("-5 -> -20",)),
        ("states: [-5, -.5, .5]", ("-5", "-.5", ".5")),
        ("states: -$5 -> -€1.50", ("-$5 -> -€1.50",)),
        ("states: −5 → –20", ("−5 -> -20",)),
        ("states: 1.5 m -> .25 m.", ("1.5 m -> .25 m",)),
        ('{"states": ["-5 -> 20"]}', ("-5 -> 20",)),
        ('{"states": [-5, 0.5]}', ("-5", "0.5")),
        ('{"states": [{"before": -5, "after": 20}]}', ("-5 -> 20",)),
        ("{'states': ['-5 -> -20',]}", ("-5 -> -20",)),
        ("| slot | before | after |\n|---|---|---|\n| states | -5 | -20 |", ("-5 -> -20",)),
        ("<states><before>-5</before><after>-20</after></states>", ("-5 -> -20",)),
        ("states:\n-5 -> 20\n- 5 eggs", ("-5 -> 20", "5 eggs")),
        ("states: -5->-10", ("-5 -> -10",)),
        ("states: - raw -> - fried -", ("raw -> fried",)),
    ],
)
def test_numbers_keep_their_sign_and_their_point(text, states):
    assert parse_trace(text).states == states
    assert parse_trace(parse_trace(text).text()).states == states


def test_a_trace_with_negative_numbers_is_valid():
    text = "states: -5 -> 20\nactions: rests\nscene: .5 m\ncamera: static\ntempo: slow"
    assert read_trace_text(text).valid and parse_trace(text).text() == text


@pytest.mark.parametrize(
    "text, states",
    [
        ("States: raw -> fried, cold -> hot, red egg", ("raw -> fried", "cold -> hot", "red egg")),
        ("States: raw (before), fried (after)", ("raw -> fried",)),
        (
            "States:\n- egg: raw -> fried\n- pan: cold -> hot",
            ("egg: raw -> fried", "pan: cold -> hot"),
        ),
        ("states:\n  egg:\n    before: raw\n    after: fried", ("egg", "raw -> fried")),
        ('{"states": {"egg": "raw -> fried"}}', ("egg: raw -> fried",)),
        (
            '{"states": [{"object": "egg", "before": "raw", "after": "fried"}]}',
            ("egg: raw -> fried",),
        ),
        ('{"states": {"before": ["raw"], "after": ["fried", "brown"]}}', ("raw -> fried", "brown")),
        (
            '{"states": {"before": ["red", "raw"], "after": ["red", "fried"]}}',
            ("red", "raw -> fried"),
        ),
        ('{"states": [["raw -> fried"], ["red egg"]]}', ("raw -> fried", "red egg")),
        ('{"states": ["raw -> fried"], "states": ["lost"]}', ("raw -> fried",)),
        ("Before: raw\nstates: from: above", ("from: above",)),
        ("states: before: raw", ("before: raw",)),
    ],
)
def test_lists_of_many_kinds(text, states):
    assert parse_trace(text).states == states


@pytest.mark.parametrize(
    "text, repairs",
    [
        (
            "States: a -> b\nThe camera is static, the tempo slow.",
            ["actions", "scene", "camera", "tempo"],
        ),
        ("### States\n- a\n### Sound\n- loud\n### Tempo\n- slow", ["actions", "scene", "camera"]),
        ("Camera and tempo: static, slow\nstates: a\nactions: b\nscene: c", ["camera", "tempo"]),
        (
            "| states | a | b |\n| sound | c | d |\n| tempo | e | f |",
            ["actions", "scene", "camera"],
        ),
    ],
)
def test_a_slot_that_is_lost_is_named(text, repairs):
    written = read_trace_text(text)
    assert written.trace.missing() == tuple(repairs) and not written.valid
    assert [f"slot {slot!r}: missing" for slot in repairs] == [
        repair for repair in written.repairs if repair.endswith("missing")
    ]


def test_what_stands_in_no_slot_is_named():
    assert (
        "prose around the trace dropped"
        in read_trace_text(FORMS["markdown headings with bullets"]).repairs
    )
    table = read_trace_text("| states | a | b |\n| sound | c | d |\n| tempo | e | f |")
    assert "unknown slot 'sound' dropped" in table.repairs
    long = '{"states": ["a"], "actions": ' + "[" + '"b", ' * 2_000
    assert "broken JSON cut after 4,000 characters" in read_trace_text(long).repairs


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I cannot see a video.",
        "The scene shows a kitchen. The camera is static. The tempo is slow.",
        "states, actions, scene, camera, tempo: at most four facts each",
        "- states\n- actions\n- scene\n- camera\n- tempo",
        '{"states": [], "tempo": null}',
        "| a | b |\n|---|---|\n| c | d |",
        "<p>no trace</p>",
        '{"answer": 42}',
    ],
)
def test_what_is_no_trace_is_refused(text):
    with pytest.raises(TraceError, match="no trace in"):
        parse_trace(text)
