"use strict";
(function () {
  var root = document.documentElement, button = document.getElementById("theme");
  function dark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function label() { button.textContent = dark() ? "Light theme" : "Dark theme"; }
  button.hidden = false;
  label();
  button.addEventListener("click", function () { root.dataset.theme = dark() ? "light" : "dark"; label(); });

  var again = document.getElementById("reload");
  if (again) {
    var seconds = Number(document.body.dataset.reload), timer = setTimeout(function () { location.reload(); }, 1000 * seconds);
    again.hidden = false;
    again.addEventListener("click", function () { clearTimeout(timer); window.stop(); again.textContent = "Reloading stopped"; again.disabled = true; });
  }

  function key(cell) {
    var text = cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim().replace(/−/g, "-");
    var value = parseFloat(text);
    return { text: text, value: /^[-+.\d]/.test(text) && !isNaN(value) ? value : null };
  }
  // What is no number stands behind all numbers, whichever way the column is sorted.
  function compare(a, b, way) {
    if (a.value !== null && b.value !== null) { return way * (a.value - b.value); }
    if (a.value !== null || b.value !== null) { return a.value !== null ? -1 : 1; }
    return way * a.text.localeCompare(b.text, "en", { numeric: true });
  }
  document.querySelectorAll(".tablebox .scroll > table").forEach(function (table) {
    Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
      if ("unsorted" in head.dataset) { return; }
      var sorter = document.createElement("button");
      sorter.type = "button";
      sorter.className = "sorter";
      sorter.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(sorter);
      sorter.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
        table.querySelectorAll("th[aria-sort]").forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        Array.from(body.rows)
          .map(function (row, at) { return { row: row, key: key(row.cells[column]), at: at }; })
          .sort(function (a, b) { return compare(a.key, b.key, up ? 1 : -1) || a.at - b.at; })
          .forEach(function (one) { body.appendChild(one.row); });
      });
    });
  });
  document.querySelectorAll(".tablebox.filtered").forEach(function (box) {
    var field = box.querySelector(".filter"), rows = Array.from(box.querySelector("table").tBodies[0].rows);
    field.hidden = false;
    field.querySelector("input").addEventListener("input", function (event) {
      var words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach(function (row) {
        var text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
      });
    });
  });

  var links = Array.from(document.querySelectorAll("nav.side a")), open = [];
  if ("IntersectionObserver" in window) {
    var seen = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) { return; }
        links.forEach(function (link) {
          if (link.hash === "#" + (entry.target.dataset.for || entry.target.id)) { link.setAttribute("aria-current", "true"); } else { link.removeAttribute("aria-current"); }
        });
      });
    }, { rootMargin: "-15% 0px -75% 0px" });
    document.querySelectorAll("main section").forEach(function (section) { seen.observe(section); });
  }
  addEventListener("beforeprint", function () {
    open = Array.from(document.querySelectorAll("details.print:not([open])"));
    open.forEach(function (one) { one.open = true; });
  });
  addEventListener("afterprint", function () { open.forEach(function (one) { one.open = false; }); });
})();
