// Figures can be saved as SVG and as PNG, in the colours in which they are seen.

const DENSE = 2; // pixels of a PNG to one of the page

// The picture as a file of its own: colours and fonts written out, texts of marks as titles.
function standalone(svg) {
  const copy = svg.cloneNode(true), style = getComputedStyle(root);
  copy.removeAttribute("aria-hidden");
  const box = svg.viewBox.baseVal;
  copy.setAttribute("width", String(box.width));
  copy.setAttribute("height", String(box.height));
  const marks = svg.querySelectorAll("[data-arm]");
  copy.querySelectorAll("[data-arm]").forEach((mark, at) => {
    mark.classList.remove("on");
    if (mark.classList.contains("off")) { mark.setAttribute("visibility", "hidden"); }
    mark.removeAttribute("class");
    if (titles.has(marks[at])) {
      const title = document.createElementNS(copy.namespaceURI, "title");
      title.textContent = titles.get(marks[at]);
      mark.prepend(title);
    }
  });
  const paper = document.createElementNS(copy.namespaceURI, "rect");
  Object.entries({ width: "100%", height: "100%", fill: style.getPropertyValue("--paper") })
    .forEach(([name, value]) => paper.setAttribute(name, value));
  copy.prepend(paper);
  const text = new XMLSerializer().serializeToString(copy);
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim().replace(/"/g, "'"))
    .replace(/currentColor/g, style.getPropertyValue("--ink").trim());
}

function savePng(svg, name) {
  const picture = new Image(), box = svg.viewBox.baseVal;
  picture.addEventListener("load", () => {
    const canvas = make("canvas", { width: Math.round(box.width * DENSE * 4 / 3), height: Math.round(box.height * DENSE * 4 / 3) });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(name, blob, "image/png"));
  });
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
}

function startFigures() {
  document.querySelectorAll(".exhibit figure").forEach((figure) => {
    const svg = figure.querySelector(".drawing svg"), said = figure.querySelector("figcaption");
    if (!svg || !said) { return; }
    const title = figure.closest("section") ? figure.closest("section").querySelector(".title").firstChild.textContent : "figure";
    const saveAs = (end, how) => {
      const one = button(end.toUpperCase(), "tool", () => how(fileName(`${document.title.split(" · ")[0]} ${title}`, end)));
      one.setAttribute("aria-label", `Save the figure as ${end.toUpperCase()}: ${title}`);
      return one;
    };
    figure.append(make("p", { class: "tools" },
      saveAs("svg", (name) => save(name, standalone(svg), "image/svg+xml")), " ",
      saveAs("png", (name) => savePng(svg, name))));
  });
}
