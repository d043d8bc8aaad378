// Headings have links to themselves.

function startHeadings() {
  document.querySelectorAll("main section .title").forEach((heading) => {
    const section = heading.closest("section");
    const id = section.id || section.dataset.for;
    // A link inside of what folds the section would be a control in a control.
    (heading.closest("summary") ? section : heading).append(make("a", { class: "anchor", href: `#${id}`, "aria-label": `Link to ${heading.textContent}` }, "#"));
  });
}
