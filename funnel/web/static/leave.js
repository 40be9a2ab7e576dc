// Leaves quickly, by the button or by pressing Shift three times: hides the page, wipes what this site kept through our
// own address, and puts a neutral page in this one's place, so that Back does not return here. Without scripts the
// button's form does the same, but for the place in the history.
const way = document.querySelector("form.leave");
const LONGEST_MS = 1200; // then the page is left all the same; the wiping goes on by itself
const BETWEEN_MS = 800;
let leaving = false;

async function leave() {
  if (leaving) return;
  leaving = true;
  document.title = "…";
  document.documentElement.hidden = true;
  for (const kept of ["localStorage", "sessionStorage"]) {
    try { window[kept].clear(); } catch { /* there is none */ }
  }
  const wiped = fetch(way.action, { method: "POST", body: new URLSearchParams(new FormData(way)), keepalive: true });
  const patience = new Promise((resolve) => setTimeout(resolve, LONGEST_MS));
  await Promise.race([wiped.catch(() => {}), patience]);
  location.replace(way.dataset.to);
}

way.addEventListener("submit", (event) => {
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
