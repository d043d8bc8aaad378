// Headings have links to themselves.

function startHeadings() {
  document.querySelectorAll("main section[id] > .title, main h2.part[id]").forEach((heading) => {
    const id = heading.id.endsWith("-title") ? heading.parentElement.id : heading.id;
    heading.append(make("a", { class: "anchor", href: `#${id}`, "aria-label": `Link to ${heading.textContent}` }, "#"));
  });
}
