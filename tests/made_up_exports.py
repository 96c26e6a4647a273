"""Made-up exports in each format's true header, for the tests."""

GOODREADS_31 = (
    "Book Id,Title,Author,Author l-f,Additional Authors,ISBN,ISBN13,My Rating,Average Rating,"
    "Publisher,Binding,Number of Pages,Year Published,Original Publication Year,Date Read,"
    "Date Added,Bookshelves,Bookshelves with positions,Exclusive Shelf,My Review,Spoiler,"
    "Private Notes,Read Count,Recommended For,Recommended By,Owned Copies,"
    "Original Purchase Date,Original Purchase Location,Condition,Condition Description,BCID"
)
GOODREADS_24 = GOODREADS_31.split(",Recommended For", maxsplit=1)[0] + ",Owned Copies"
GOODREADS_32 = GOODREADS_31 + ",Date Started"

GOODREADS = (
    f"{GOODREADS_32}\r\n"
    '5470,1984,George Orwell,"Orwell, George","Erich Fromm, Thomas Pynchon","=""0451524934""",'
    '"=""9780451524935""",5,4.19,Signet,Paperback,328,1961,1949,2020/01/09,2019/12/24,'
    '"classics, dystopia","classics (#1), dystopia (#2)",read,"Big.<br/>Brother'
    '\r\nsaid ""hello"".",,lent to Jo,2,,,1,,,,,,2020/01/02\r\n'
    '6,Kindle Only,Ann Author,,,="",="",0,3.9,,,,,,,2021/05/06,to-read,,to-read,,,,0,,,0,,,,,,\r\n'
    '7,Wished,Bo Writer,,,,,3,,,,,,,,2021/05/07,"wishlist, gifts",,wishlist,,,,0,,,0,,,,,,\r\n'
)

STORYGRAPH = (
    "Title,Authors,Contributors,ISBN/UID,Format,Read Status,Date Added,Last Date Read,Dates Read,"
    "Read Count,Moods,Pace,Character- or Plot-Driven?,Strong Character Development?,"
    "Loveable Characters?,Diverse Characters?,Flawed Characters?,Star Rating,Review,"
    "Content Warnings,Content Warning Description,Tags,Owned?\r\n"
    'Dune,"Frank Herbert, Brian Herbert",Scott Brick (Narrator),441172717,paperback,'
    "currently-reading,2022/01/01,2023/03/04,"
    '"2022/02/01-2022/02/20, 2023/03/04",2,,,,,,,,4.25,<br/>Sand.,,,"sf, desert",Yes\r\n'
    "Kindle,Jo,,B07MNWKF2M,digital,did-not-finish,2022/01/02,,,0,,,,,,,,,,,,,No\r\n"
)

LIBRARYTHING = (
    "Book Id\tTitle\tPrimary Author\tSecondary Author\tReview\tRating\tComment\tPrivate Comment\t"
    "Date Started\tDate Read\tISBN\tISBNs\tTags\tCollections\tEntry Date\n"
    "1\tCafé society\tOrwell, George\tFromm, Erich\tFine\t4.5\tA\tB\t[2020-01-02]\t[2020-01-09]\t"
    "[0451524934]\t0451524934, 9780451524935\tclassics, left\tYour library, Favourites\t"
    "[2019-12-24]\n"
)

LIBRARYTHING_JSON = """{
 "1": {"books_id": "1", "title": "1984", "primaryauthor": "Orwell, George",
       "authors": [{"lf": "Orwell, George", "fl": "George Orwell"}],
       "isbn": {"0": "0451524934", "2": "9780451524935"}, "rating": 4, "tags": ["a", "b"],
       "collections": ["To read"], "entrydate": "2019-12-24"},
 "2": {"books_id": "2", "title": "No number", "authors": [], "isbn": []}
}"""

LIBIB = (
    "item_type,title,creators,first_name,last_name,collection,ean_isbn13,upc_isbn10,description,"
    "publisher,publish_date,group,tags,notes,price,length,number_of_discs,number_of_players,"
    "age_group,ensemble,aspect_ratio,esrb,rating,review,review_date,status,began,completed,added,"
    "copies\n"
    "book,1984,George Orwell,George,Orwell,Home,9780451524935,,,Signet,1961-01-01,,classics,n,,,,,"
    ",,,,4.5,Good,2020-02-02,Completed,2020-01-02,2020-01-09,2019-12-24,1\n"
    "movie,Blade Runner,,,,Home,,,,,,,,,,,,,,,,,,,,,,,,1\n"
)

CALIBRE = (
    "author_sort,authors,comments,cover,formats,id,identifiers,isbn,languages,library_name,"
    "pubdate,publisher,rating,series,series_index,size,tags,timestamp,title,title_sort,uuid\n"
    '"Orwell, George","George Orwell","<p>About</p>","c.jpg","epub","1",'
    '"amazon:B1,isbn:9780451524935","","eng","L","1961-01-01T00:00:00+00:00","Signet","4.5","",'
    '"1.0","1","classics, left","2019-12-24T10:00:00+00:00","1984","1984","u-1"\n'
)

OPENREADS = (
    "title,subtitle,author,description,status,favourite,deleted,rating,pages,publisher,"
    "publication_year,isbn,olid,tags,my_review,notes,book_format,readings,date_added,"
    "date_modified\r\n"
    "1984,,George Orwell,,finished,true,false,4.5,328,Signet,1961,9780451524935,OL1M,"
    "classics|||||left,Good,n,paperback,"
    "2020-01-02T00:00:00.000|2020-01-09T00:00:00.000|;|2021-05-06T00:00:00.000|,"
    "2019-12-24T00:00:00.000,2019-12-24T00:00:00.000\r\n"
)

BOOKWYRM = (
    "title,author_text,remote_id,openlibrary_key,finna_key,inventaire_id,librarything_key,"
    "goodreads_key,bnf_id,viaf,wikidata,asin,aasin,isfdb,isbn_10,isbn_13,oclc_number,start_date,"
    "finish_date,stopped_date,rating,review_name,review_cw,review_content,review_published,shelf,"
    "shelf_name,shelf_date\r\n"
    "1984,George Orwell,https://b/1,OL1M,,,,,,,,,,,0451524934,9780451524935,,2020-01-02,"
    "2020-01-09,,4.5,Head,,Body,2020-02-02,read,Read,2019-12-24\r\n"
)

OPEN_LIBRARY = "Work Id,Edition Id,Bookshelf\r\nOL1W,OL1M,Already Read\r\nOL2W,,Want to Read\r\n"
