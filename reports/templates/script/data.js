// What the other files share: the study's data, elements, numbers of arms, and what is announced.

const root = document.documentElement;
const study = readStudy();
const announced = make("div", { role: "status", class: "unseen" });

// The data block of the page; null on pages of several studies.
function readStudy() {
  const block = document.getElementById("study-data");
  return block ? JSON.parse(block.textContent) : null;
}

// An element with attributes, and texts or elements in it. Texts are never read as HTML.
function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) { made.setAttribute(name, value); }
  made.append(...children);
  return made;
}

function button(text, name, onClick) {
  const made = make("button", { type: "button", class: name }, text);
  made.addEventListener("click", onClick);
  return made;
}

// "0-3 7" as [0, 1, 2, 3, 7].
function numbersOf(ranges) {
  return ranges.split(" ").filter(Boolean).flatMap((part) => {
    const [first, last] = part.split("-").map(Number);
    return Array.from({ length: (last === undefined ? first : last) - first + 1 }, (_, at) => first + at);
  });
}

const armsRead = new WeakMap();

function armsOf(element) {
  if (!armsRead.has(element)) { armsRead.set(element, numbersOf(element.dataset.arm || "")); }
  return armsRead.get(element);
}

function armWords(arm) {
  const words = study.factors.map((factor, at) => factor.words[study.arms[arm][at]]);
  return words.join(" · ") || "the only recipe";
}

// Open every fold around an element, so that it can be seen.
function reveal(element) {
  for (let one = element; one; one = one.parentElement) {
    if (one.tagName === "DETAILS") { one.open = true; }
  }
}

function announce(text) { announced.textContent = text; }

const MARK = ".drawing svg [data-arm]";
const TOUCHED = `${MARK}, tr[data-arm], td[data-arm]`;
