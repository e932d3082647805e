// What the app must know. With an empty edgeUrl it asks the server that it came from, as the demo's can tell.

/* exported CONFIG */
var CONFIG = {
  edgeUrl: '',
  film: '../media/the-lighthouse.webm',
  titleId: 'the-lighthouse'
};
