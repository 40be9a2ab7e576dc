// Leaves quickly, by the button or by pressing Shift three times: hides the page, wipes what this site kept through our
// own address, and puts a neutral page in this one's place. Back does not return here, nor to pages before this one: in
// the tab that was left, they lead to the neutral page, too. Without scripts the button's form wipes and leaves alike.
const neutral = document.currentScript.dataset.to;
const LEFT = "left"; // all that stays behind, in this tab, until one of our pages is opened on purpose
const LONGEST_MS = 1200; // then the page is left all the same; the wiping goes on by itself
const BETWEEN_MS = 800;
let leaving = false;

function go() {
  leaving = true;
  document.title = "…";
  document.documentElement.hidden = true;
}

async function leave() {
  if (leaving) return;
  go();
  remembering((kept) => kept.clear());
  const way = document.querySelector("form.leave");
  const wiped = fetch(way.action, { method: "POST", body: new URLSearchParams(new FormData(way)), keepalive: true });
  await Promise.race([wiped.catch(() => {}), new Promise((resolve) => setTimeout(resolve, LONGEST_MS))]);
  remembering((kept) => kept === window.sessionStorage && kept.setItem(LEFT, ""));
  location.replace(neutral);
}

// A browser may keep nothing at all.
function remembering(act) {
  for (const name of ["localStorage", "sessionStorage"]) {
    try { act(window[name]); } catch { /* then there is nothing to wipe */ }
  }
}

function wasLeft() {
  try { return window.sessionStorage.getItem(LEFT) !== null; } catch { return false; }
}

if (wasLeft()) {
  if (performance.getEntriesByType("navigation")[0]?.type === "back_forward") {
    go();
    location.replace(neutral);
  } else {
    window.sessionStorage.removeItem(LEFT);
  }
}
addEventListener("pageshow", (event) => {
  if (event.persisted && wasLeft()) { go(); location.replace(neutral); }
});
addEventListener("submit", (event) => {
  if (!event.target.matches("form.leave")) return;
  event.preventDefault();
  leave();
});

// Shift alone counts, once it is let go: whoever types capital letters presses others meanwhile.
let presses = 0, last = 0, alone = false;
addEventListener("keydown", (event) => {
  if (event.repeat) return;
  alone = event.key === "Shift";
  if (!alone) presses = 0;
}, true);
addEventListener("keyup", (event) => {
  if (event.key !== "Shift" || !alone) return;
  alone = false;
  presses = event.timeStamp - last > BETWEEN_MS ? 1 : presses + 1;
  last = event.timeStamp;
  if (presses === 3) leave();
}, true);
addEventListener("pointerdown", () => { presses = 0; }, true);
