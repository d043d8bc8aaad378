// Tables say how many rows they show, and can be saved as CSV.

const counters = []; // functions that write a table's row count

function countRows() { counters.forEach((write) => write()); }

function save(name, text, type) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A file's name from a title: letters, digits and hyphens.
function fileName(title, end) {
  const words = title.normalize("NFKD").toLowerCase().match(/[\p{L}\p{N}]+/gu) || ["table"];
  return `${words.join("-").slice(0, 60)}.${end}`;
}

// A spreadsheet would run a text that begins with one of these; numbers may.
function csvField(text) {
  const safe = /^[=+\-@\t\r]/.test(text) && isNaN(Number(text.replace("−", "-"))) ? `'${text}` : text;
  return /[",\n\r;]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

function oneLine(element) { return element.textContent.trim().replace(/\s+/g, " "); }

function headText(cell) { return oneLine(cell.querySelector(".sorter") || cell); }

// The rows that are shown, as they read; where the page rounds, a second column has the number.
function csvOf(table) {
  const heads = Array.from(table.tHead.rows[0].cells).map(headText);
  const rows = Array.from(table.tBodies[0].rows).filter(rowShown);
  const exact = heads.map((_, at) => rows.some((row) => row.cells[at] && row.cells[at].dataset.sort !== undefined
    && row.cells[at].dataset.sort !== oneLine(row.cells[at])));
  const line = (fields) => fields.map(csvField).join(",");
  const first = heads.flatMap((head, at) => (exact[at] ? [head, `${head} (as stored)`] : [head]));
  const others = rows.map((row) => heads.flatMap((_, at) => {
    const cell = row.cells[at], text = cell ? oneLine(cell) : "";
    return exact[at] ? [text, (cell && cell.dataset.sort) || ""] : [text];
  }));
  return `\ufeff${[first, ...others].map(line).join("\r\n")}\r\n`;
}

function rowShown(row) { return !row.hidden && !row.classList.contains("off"); }

function addTools(box) {
  const table = box.querySelector("table"), caption = box.querySelector(".table-caption");
  const rows = Array.from(table.tBodies[0].rows);
  const counted = make("span", { class: "count" });
  const write = () => {
    const left = rows.filter(rowShown).length, rowWord = rows.length === 1 ? "row" : "rows";
    counted.textContent = left === rows.length ? `${rows.length} ${rowWord}` : `${left} of ${rows.length} ${rowWord}`;
  };
  counters.push(write);
  write();
  const download = button("CSV", "tool", () => save(fileName(caption.textContent, "csv"), csvOf(table), "text/csv;charset=utf-8"));
  download.setAttribute("aria-label", `Save as CSV: ${caption.textContent}`);
  const tools = make("p", { class: "tools" }, counted, " ", download);
  box.insertBefore(tools, box.querySelector(".scroll"));
  const field = box.querySelector(".filter input");
  if (field) { field.addEventListener("input", write); }
}

function startTables() { document.querySelectorAll(".tablebox").forEach(addTools); }
