// The colour of a matrix's boxes can mean something else than the verdict.

const STRONG = 42; // percent of the colour in the strongest box: dark text stays readable on it

function meanings() {
  const of = study.pairs, metric = { name: `mean test ${of.metric}`, values: of.mean, digits: 3 };
  const lost = of.lost.map((lost, arm) => (of.n[arm] ? lost / of.n[arm] : null));
  return [
    metric,
    { name: "remaining gradient at the end", values: of.D, digits: 1 },
    { name: "share of seeds lost", values: lost, digits: 2, bad: true },
  ].filter((one) => one.values.some((value) => value !== null));
}

function colourBoxes(figure, meaning) {
  const boxes = Array.from(figure.querySelectorAll("td.box[data-arm]"));
  const values = boxes.map((box) => (meaning ? meaning.values[armsOf(box)[0]] : null));
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known);
  const hue = meaning && meaning.bad ? "--bad" : "--opens";
  boxes.forEach((box, at) => {
    box.classList.toggle("plain", Boolean(meaning));
    const share = high > low ? (values[at] - low) / (high - low) : 0;
    box.style.background = !meaning ? "" : values[at] === null ? "none"
      : `color-mix(in srgb, var(${hue}) ${(share * STRONG).toFixed(0)}%, var(--paper))`;
  });
  const write = (value) => value.toFixed(meaning.digits).replace("-", "−");
  return known.length ? `palest ${write(low)}, strongest ${write(high)}` : "";
}

function startMatrices() {
  if (!study || !study.pairs.mean) { return; }
  const found = meanings();
  document.querySelectorAll("figure.matrices").forEach((figure) => {
    if (!figure.querySelector("td.box[data-arm]") || !figure.querySelector(".legend")) { return; }
    const list = make("select", {}, make("option", { value: "" }, "verdict"),
      ...found.map((one, at) => make("option", { value: at }, one.name)));
    const scale = make("span", { class: "scale" });
    list.addEventListener("change", () => {
      scale.textContent = colourBoxes(figure, list.value === "" ? null : found[Number(list.value)]);
      figure.querySelector(".legend").hidden = list.value !== "";
    });
    figure.prepend(make("p", { class: "tools" }, make("label", {}, "Colour: ", list), " ", scale));
  });
}
