// Touching an arm lights it in every figure and table: all else fades.

let elementsOf = null; // by arm; made at the first touch
let litElements = [];
let waiting = 0;
const DWELL = 70; // ms that the pointer rests before anything fades

function indexArms() {
  elementsOf = study ? study.arms.map(() => []) : [];
  document.querySelectorAll(TOUCHED).forEach((element) => {
    armsOf(element).forEach((arm) => { if (elementsOf[arm]) { elementsOf[arm].push(element); } });
  });
}

function light(arms) {
  if (!elementsOf) { indexArms(); }
  clearTimeout(waiting);
  litElements.forEach((element) => element.classList.remove("on"));
  litElements = arms.flatMap((arm) => elementsOf[arm] || []);
  litElements.forEach((element) => element.classList.add("on"));
  root.classList.toggle("lit", litElements.length > 0);
}

function lightSoon(arms) {
  clearTimeout(waiting);
  waiting = setTimeout(() => light(arms), DWELL);
}

function lightRows() {
  const row = (event) => event.target.closest && event.target.closest("tr[data-arm], td[data-arm]");
  document.addEventListener("pointerover", (event) => {
    const touched = row(event);
    if (touched && armsOf(touched).length) { lightSoon(armsOf(touched)); }
  });
  document.addEventListener("pointerout", (event) => {
    if (row(event) && event.pointerType !== "touch") { lightSoon([]); }
  });
  document.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && !row(event) && !event.target.closest(".canvas")) { light([]); }
  });
}
