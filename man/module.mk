# the manual pages
