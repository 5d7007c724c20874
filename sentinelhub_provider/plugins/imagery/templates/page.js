// Airflow's switch between light and dark sets a class of its page; a page of its own remembers what was chosen.
(() => {
  const own = document.documentElement;
  let airflow = null;
  try { airflow = parent !== window ? parent.document : null; } catch { airflow = null; }
  const follow = () => {
    const chosen = localStorage.getItem("theme");
    const isDark = airflow
      ? airflow.documentElement.classList.contains("dark")
      : chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    own.classList.toggle("dark", isDark);
  };
  own.classList.toggle("framed", airflow !== null);
  follow();
  if (airflow) new MutationObserver(follow).observe(airflow.documentElement, { attributeFilter: ["class"] });

  // A link to a page of Airflow leaves the frame.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-airflow]");
    if (!link || !airflow) return;
    event.preventDefault();
    const outside = airflow.createElement("a");
    outside.href = link.href;
    outside.click();
  });

  document.addEventListener("keydown", (event) => {
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    if (!rel || event.target.closest?.(".scroll") || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    document.querySelector(`a[rel=${rel}]`)?.click();
  });

  // While a task runs, the page takes what is new every few seconds. The next round waits for the answer of the last.
  const look = async () => {
    const main = document.querySelector("main");
    if (document.hidden || main.dataset.live !== "yes") return;
    const answer = await fetch(location.href, { credentials: "same-origin", signal: AbortSignal.timeout(60000) });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (fresh.innerHTML === main.innerHTML) { main.dataset.live = fresh.dataset.live; return; }
    const focused = document.activeElement?.getAttribute?.("href");
    main.replaceWith(fresh);
    if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  };
  const again = (milliseconds) => setTimeout(async () => {
    const start = Date.now();
    try { await look(); } catch { /* the server is away */ }
    again(Math.max(5000, 20 * (Date.now() - start))); // a slow server is asked less often
  }, milliseconds);
  again(5000);
})();
