// Headings have links to themselves.

function startHeadings() {
  document.querySelectorAll("main section .title").forEach((heading) => {
    const section = heading.closest("section");
    const id = section.id || section.dataset.for;
    heading.append(make("a", { class: "anchor", href: `#${id}`, "aria-label": `Link to ${heading.textContent}` }, "#"));
  });
}
