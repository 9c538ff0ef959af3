/* Tables that sort and filter, values under the pointer, commands to copy. */
(() => {
  "use strict";
  const compare = (a, b) => {
    const [x, y] = [a.dataset.sort ?? a.textContent, b.dataset.sort ?? b.textContent];
    const [m, n] = [x === "" ? NaN : Number(x), y === "" ? NaN : Number(y)];
    if (Number.isNaN(m) && Number.isNaN(n)) return x.localeCompare(y);
    if (Number.isNaN(m) || Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1;
    return m - n;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((p, q) => compare(p.cells[column], q.cells[column]));
        body.append(...(down ? rows.reverse() : rows));
      });
    });
  }
  for (const filter of document.querySelectorAll("form.filter")) {
    const table = document.getElementById(filter.dataset.table);
    const rows = [...table.tBodies[0].rows];
    const words = filter.querySelector("input");
    const selects = [...filter.querySelectorAll("select")];
    const count = filter.querySelector("output");
    for (const select of selects) {
      const column = Number(select.name);
      const value = (row) => row.cells[column].dataset.group ?? row.cells[column].textContent;
      const found = [...new Set(rows.map(value))].sort();
      if (found.length < 2) select.parentElement.hidden = true;
      found.forEach((f) => select.add(new Option(f, f)));
    }
    const apply = () => {
      const wanted = words.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const fits = row.textContent.toLowerCase().includes(wanted) && selects.every((s) => {
          const cell = row.cells[Number(s.name)];
          return !s.value || (cell.dataset.group ?? cell.textContent) === s.value;
        });
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} of ${rows.length} rows`;
    };
    filter.addEventListener("input", apply);
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.hidden = false;
    apply();
  }
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  document.addEventListener("pointermove", (event) => {
    const found = event.target.closest?.("[data-tip]");
    if (!found) return hide();
    tip.textContent = found.dataset.tip;
    tip.hidden = false;
    const { innerWidth: width, innerHeight: height } = window;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, width - tip.offsetWidth - 8))}px`;
    const below = event.clientY + 18;
    tip.style.top = `${below + tip.offsetHeight > height ? event.clientY - tip.offsetHeight - 12 : below}px`;
  });
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  for (const code of document.querySelectorAll("pre.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    code.before(button);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
  /* A page on paper shows what a reader on a screen may open. */
  const closed = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = closed().filter((d) => !d.classList.contains("screen"));
    opened.forEach((d) => { d.open = true; });
  });
  window.addEventListener("afterprint", () => { opened.forEach((d) => { d.open = false; }); });
})();
