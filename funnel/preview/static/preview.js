// Applies a choice at once, and shows the newest version of what has been saved.
for (const form of document.querySelectorAll("[data-apply]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

const shown = `"${document.documentElement.dataset.version}"`;

async function look() {
  try {
    const answer = await fetch("/changed", { headers: { "If-None-Match": shown }, cache: "no-store" });
    if (answer.status === 200 && answer.headers.get("ETag") !== shown) location.reload();
  } catch {
    // The preview has been stopped; it may come back.
  }
}

setInterval(look, 700);
