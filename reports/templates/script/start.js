document.body.append(announced);
touchMarks();
lightRows();
startTables();
startFigures();
startHeadings();
openTargets();
startFilter();
