// Shows a second of work for the sign-up form: finds a number for which SHA-256 of "stamp:number" begins with so many
// zero bits. The page starts this same file as a worker, so that typing is never held up.
if (typeof document === "undefined") {
  const first = sha256();
  onmessage = ({ data: { stamp, bits } }) => {
    let number = 0;
    while (first(`${stamp}:${number}`) >>> (32 - bits)) number += 1;
    postMessage(String(number));
  };
} else {
  const form = document.querySelector("form[data-work]");
  const said = form.querySelector("[data-said]");
  let pressed = null, idle = false;
  const go = () => { if (pressed) form.requestSubmit(pressed); };
  const worker = new Worker(document.currentScript.src);
  worker.onmessage = ({ data }) => {
    form.elements.work.value = data;
    said.textContent = "";
    worker.terminate();
    go();
  };
  worker.onerror = () => { idle = true; go(); }; // then the form waits its half minute, as without scripts
  worker.postMessage({ stamp: form.elements.form.value, bits: Number(form.dataset.work) });
  form.addEventListener("submit", (event) => {
    if (idle || form.elements.work.value) return;
    event.preventDefault();
    pressed = event.submitter;
    said.textContent = form.dataset.busy;
  });
}

// The first 32 bits of the SHA-256 (FIPS 180-4) of a short ASCII text: one block.
function sha256() {
  const root = (number, power) => (number ** (1 / power) % 1) * 2 ** 32 | 0;
  const primes = [];
  for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime)) primes.push(n);
  const start = primes.slice(0, 8).map((prime) => root(prime, 2));
  const round = primes.map((prime) => root(prime, 3));
  const turn = (word, by) => (word >>> by) | (word << (32 - by));
  const w = new Int32Array(64);
  return (text) => {
    w.fill(0, 0, 16);
    for (let i = 0; i < text.length; i += 1) w[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i % 4));
    w[text.length >> 2] |= 0x80 << (24 - 8 * (text.length % 4));
    w[15] = text.length * 8;
    for (let i = 16; i < 64; i += 1) {
      const a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = start;
    for (let i = 0; i < 64; i += 1) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + round[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    return (a + start[0]) >>> 0;
  };
}
